"""Agents that act: environments, episodes, rewards learned from comparisons of clips, policies; and
small worlds in which everything is listed."""
