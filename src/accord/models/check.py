"""Does accord compute with this model what transformers computes? Facts and differences for `accord models check`."""
