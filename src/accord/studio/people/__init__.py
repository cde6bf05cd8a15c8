"""Who takes part: accounts, ways in, roles, their own data, their load, and leaving."""
