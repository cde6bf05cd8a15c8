"""Claims of a critic about an item's options."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One column more; items that are there have no claims."""
    op.add_column("item", sa.Column("assistance", sa.JSON(none_as_null=True), nullable=True))
