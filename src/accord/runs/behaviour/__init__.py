"""Question sets put to policies: what they choose, say and refuse, one arm against another."""
