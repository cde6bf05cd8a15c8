"""What leaves the studio: exports, webhooks, backups."""
