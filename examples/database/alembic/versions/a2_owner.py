"""owner"""
from alembic import op

revision = "a2"
down_revision = "a1"


def upgrade():
    op.execute("ALTER TABLE parcels ADD COLUMN owner text")


def downgrade():
    op.execute("ALTER TABLE parcels DROP COLUMN owner")
