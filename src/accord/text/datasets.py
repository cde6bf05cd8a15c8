"""Data by name: a file, a directory or a Hub id becomes rows; splits follow from the rows' content."""
