"""What every set of questions is: items, and what they measure of a policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from accord.examine.behaviour.scored import Scored

if TYPE_CHECKING:
    from accord.runs.behaviour.answering import Policy

Row = dict[str, Any]


@dataclass
class QuestionSet(ABC):
    """A set of items. rows: as read, those that cannot be asked left out and counted in `left_out`
    by reason; whole: of how many rows these are a draw."""

    name: str
    rows: list[Row]
    whole: int
    seed: int
    max_new_tokens: int = 64
    temperature: float = 1.0
    left_out: dict[str, int] = field(default_factory=dict)

    needs: ClassVar[tuple[str, ...]] = ()
    """Columns of the file."""
    or_needs: ClassVar[tuple[str, ...]] = ()
    """Columns of another layout that will do."""

    @abstractmethod
    def measure(self, policy: Policy) -> list[Scored]:
        """Ask a policy everything; the same items in the same order for every policy."""

    @abstractmethod
    def texts(self) -> list[str]:
        """What is asked, for the check on contamination."""

    @staticmethod
    def unusable(row: Row) -> str | None:
        """Why a row with all columns cannot be asked; None for one that can."""
        return None
