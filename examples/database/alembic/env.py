"""How Alembic reaches the database: as PGHOST, PGDATABASE, PGUSER and PGPASSWORD say."""
from alembic import context
from sqlalchemy import create_engine, text

engine = create_engine("postgresql+psycopg2://")
with engine.connect() as connection:
    # Whoever comes by another way waits for the end of this transaction.
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(20261126)"))
        context.run_migrations()
