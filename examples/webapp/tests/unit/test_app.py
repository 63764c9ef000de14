"""Answers, without a network."""

import json

import pytest

from webapp.app import LONGEST, answer
from webapp.store import Memory, connect


@pytest.fixture
def store() -> Memory:
    """Nothing yet."""
    return Memory()


def test_it_says_that_it_is_well(store: Memory) -> None:
    assert answer(store, "GET", "/healthz", b"") == (200, {"status": "ok"})


def test_nothing_is_there_at_first(store: Memory) -> None:
    assert answer(store, "GET", "/items", b"") == (200, {"items": []})


def test_what_was_added_is_there(store: Memory) -> None:
    for name in ("bread", "milk"):
        assert answer(store, "POST", "/items", json.dumps({"name": name}).encode())[0] == 201
    assert answer(store, "GET", "/items", b"") == (200, {"items": ["bread", "milk"]})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"null"])
def test_what_is_no_item_is_refused(store: Memory, body: bytes) -> None:
    assert answer(store, "POST", "/items", body)[0] == 400
    assert store.all() == []


@pytest.mark.parametrize("name", ["", "x" * (LONGEST + 1), 7])
def test_a_name_has_its_bounds(store: Memory, name: object) -> None:
    assert answer(store, "POST", "/items", json.dumps({"name": name}).encode())[0] == 422


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("POST", "/item", 404), ("DELETE", "/items", 405)],
)
def test_what_is_not_there_says_so(store: Memory, method: str, path: str, status: int) -> None:
    assert answer(store, method, path, b"")[0] == status


def test_without_a_database_it_keeps_them_itself() -> None:
    assert isinstance(connect(""), Memory)
