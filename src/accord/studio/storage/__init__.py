"""The studio's tables, the database they lie in, its revisions, and the log of events."""
