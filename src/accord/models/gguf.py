"""GGUF files become plain Hugging Face directories, checked and with a note of their source."""
