"""Oversight: constitutions, critique and revision, judges that are asked."""
