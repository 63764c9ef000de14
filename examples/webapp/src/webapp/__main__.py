"""Serves it on port 8080."""

import os

from webapp.server import Server
from webapp.store import connect

Server(("", 8080), connect(os.environ.get("DATABASE_URL", ""))).serve_forever()
