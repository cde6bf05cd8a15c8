"""Run by alembic with a connection that `accord.studio.storage.migration` hands in."""

from alembic import context

from accord.studio.storage.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
