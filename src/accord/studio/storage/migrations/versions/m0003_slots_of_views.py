"""Views by their slot: without the index, every slot that is taken away is looked for in all
views."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One index."""
    op.create_index("ix_view_slot_id", "view", ["slot_id"])
