"""The errors a user can meet. Each names the field or row, the value, and the fix.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 stopped by a guard, 130 interrupted.
"""

from collections.abc import Mapping

GUARD_EXIT = 3
"""Exit code of a run that finished, but in which a guard stopped a stage early: KL budget,
collapse, gaming."""


LONGEST = 4_000
"""Most characters of a message: it may quote what somebody sent."""


def cut_short(text: str, most: int = LONGEST) -> str:
    """A text of at most about `most` characters: the middle of a longer one is left out, and how
    much is said."""
    half = most // 2
    return (
        text
        if len(text) <= most
        else f"{text[:half]} … ({len(text) - 2 * half:,} characters left out) … {text[-half:]}"
    )


class AccordError(Exception):
    """An error with a remedy. `message` says what is wrong and where, `fix` what to do about it."""

    exit_code = 1

    def __init__(self, message: str, fix: str | None = None) -> None:
        self.message = cut_short(message)
        self.fix = None if fix is None else cut_short(fix)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if self.fix is None else f"{self.message}\n  fix: {self.fix}"


class ConfigError(AccordError):
    """A recipe, an override or a combination of settings that cannot work."""

    exit_code = 2


class DataError(AccordError):
    """A file or row that cannot be used as asked."""

    exit_code = 2


class RunError(AccordError):
    """A run that failed while working (non-finite loss, disk full, broken self-check)."""


class DiskFull(RunError):
    """No space was left to write something; what was complete before is kept."""


class Interrupted(AccordError):
    """The user asked the run to stop; a checkpoint was written first."""

    exit_code = 130


def by_reason(counts: Mapping[str, int]) -> str:
    """Counts with their reasons, in words: "3 too long, 1,200 thumb: compares nothing"."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
