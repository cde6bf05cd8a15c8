"""Who is asked what next, and what becomes of an answer."""
