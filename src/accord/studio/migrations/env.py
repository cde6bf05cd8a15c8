"""Run by alembic with a connection that `accord.studio.migration` hands in."""

from alembic import context

from accord.studio.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
