"""Items keep what stands beside their prompt: tools, settings of the chat template, and how much
their judgements count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Three columns; items that are there have no tools, no settings, and the weight 1."""
    op.add_column("item", sa.Column("tools", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column(
        "item", sa.Column("chat_template_kwargs", sa.JSON(), nullable=False, server_default="{}")
    )
    op.add_column("item", sa.Column("weight", sa.Float(), nullable=False, server_default="1"))
