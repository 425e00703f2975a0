"""Runs the numbered migrations on the connection that `store.state` gives it."""

from alembic import context

from engagement.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
