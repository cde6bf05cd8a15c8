"""Times as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """3 min 05 s"""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{seconds:.1f} s"
