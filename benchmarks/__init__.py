"""Measurements: what steps cost here, and what the recipes reach over seeds."""
