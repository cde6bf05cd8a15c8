"""What a person sees of an item, and what the parts of an answer can be."""
