"""Rows from files: JSONL, JSON, CSV, plain text, Parquet, gzipped or not, each error with its line."""
