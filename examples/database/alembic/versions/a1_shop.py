"""shop"""
from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE parcels (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, weight int NOT NULL)")


def downgrade():
    op.execute("DROP TABLE parcels")
