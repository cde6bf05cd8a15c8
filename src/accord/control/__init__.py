"""Control: rewards learned from people for agents that act."""
