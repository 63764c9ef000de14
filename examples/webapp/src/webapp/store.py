"""Where items are kept."""

from __future__ import annotations

from typing import List, Protocol
from urllib.parse import urlsplit

import pg8000.dbapi


class Store(Protocol):
    """Keeps items in their order."""

    def add(self, name: str) -> None:
        """Takes one more."""

    def all(self) -> List[str]:
        """Every item."""


class Memory:
    """Keeps them until the end of the process."""

    def __init__(self) -> None:
        self._items: List[str] = []

    def add(self, name: str) -> None:
        """Takes one more."""
        self._items.append(name)

    def all(self) -> List[str]:
        """Every item."""
        return list(self._items)


class Postgres:
    """Keeps them in a table, which it makes."""

    def __init__(self, connection: pg8000.dbapi.Connection) -> None:
        self._connection = connection
        self._run("CREATE TABLE IF NOT EXISTS items (id serial PRIMARY KEY, name text NOT NULL)")

    def _run(self, statement: str, *values: str) -> pg8000.dbapi.Cursor:
        cursor = self._connection.cursor()
        cursor.execute(statement, values)
        self._connection.commit()
        return cursor

    def add(self, name: str) -> None:
        """Takes one more."""
        self._run("INSERT INTO items (name) VALUES (%s)", name)

    def all(self) -> List[str]:
        """Every item."""
        found = self._run("SELECT name FROM items ORDER BY id")
        return [row[0] for row in found.fetchall()]


def connect(url: str) -> Store:
    """The store of a URL such as `postgres://user:password@host/database`; without one, the process's own memory."""
    if not url:
        return Memory()
    where = urlsplit(url)
    connection = pg8000.dbapi.connect(
        user=where.username,
        password=where.password,
        host=where.hostname,
        port=where.port or 5432,
        database=where.path.lstrip("/"),
    )
    return Postgres(connection)
