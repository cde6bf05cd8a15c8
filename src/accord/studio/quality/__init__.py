"""What a project's answers are worth while they come in."""
