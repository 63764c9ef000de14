"""The same over HTTP, and a database that is played."""

import json
import threading
from typing import Any, Iterator, List
from urllib.request import urlopen

import pytest

from webapp.server import Server
from webapp.store import Memory, Postgres


@pytest.fixture
def url() -> Iterator[str]:
    """A server on a port of its own."""
    server = Server(("127.0.0.1", 0), Memory())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_it_answers(url: str) -> None:
    with urlopen(f"{url}/healthz") as reply:
        assert json.load(reply) == {"status": "ok"}


def test_it_takes_what_is_posted(url: str) -> None:
    with urlopen(f"{url}/items", data=b'{"name": "bread"}') as reply:
        assert reply.status == 201
    with urlopen(f"{url}/items") as reply:
        assert json.load(reply) == {"items": ["bread"]}


class Played:
    """A connection that notes what it is asked, and has one row."""

    def __init__(self) -> None:
        self.asked: List[Any] = []

    def cursor(self) -> "Played":
        return self

    def commit(self) -> None:
        self.asked.append("commit")

    def execute(self, statement: str, values: Any) -> None:
        self.asked.append((statement.split()[0], values))

    def fetchall(self) -> List[List[str]]:
        return [["bread"]]


def test_a_database_is_asked() -> None:
    connection = Played()
    store = Postgres(connection)
    store.add("bread")
    assert store.all() == ["bread"]
    steps = [("CREATE", ()), "commit", ("INSERT", ("bread",)), "commit", ("SELECT", ()), "commit"]
    assert connection.asked == steps
