"""Projects: their settings, and the items and judgements that are brought in."""
