"""Samplers: prompts in, responses with their log-probabilities out."""
