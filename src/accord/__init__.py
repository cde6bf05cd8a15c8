"""accord: learning from human feedback, end to end.

People's judgements -> what they want (reward) -> how to act on it (policy) -> did it work
(verdict). Importing this package loads nothing heavy; each subpackage imports what it needs.
"""

__version__ = "0.1.0"
