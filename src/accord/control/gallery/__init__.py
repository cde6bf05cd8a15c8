"""Small worlds in which the reward that one would write is gamed, each solved exactly."""
