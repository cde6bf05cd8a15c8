"""Rows out of one file each: text, tables, JSON, Parquet and Arrow; directories of splits; the
Hub."""
