"""What a policy says and chooses on question sets: pure measures on arrays of answers."""
