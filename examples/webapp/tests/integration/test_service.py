"""What the service answers, wherever it runs: pytest --base-url=http://… tests/integration"""

import uuid

import pytest
import requests


@pytest.fixture
def items(base_url: str) -> str:
    """Where they are."""
    return f"{base_url}/items"


def test_it_is_well(base_url: str) -> None:
    assert requests.get(f"{base_url}/healthz", timeout=10).json() == {"status": "ok"}


def test_what_was_added_is_there(items: str) -> None:
    name = f"bread {uuid.uuid4()}"
    assert requests.post(items, json={"name": name}, timeout=10).status_code == 201
    assert name in requests.get(items, timeout=10).json()["items"]


def test_names_are_no_statements(items: str) -> None:
    name = f"'); DROP TABLE items; -- {uuid.uuid4()}"
    assert requests.post(items, json={"name": name}, timeout=10).status_code == 201
    assert name in requests.get(items, timeout=10).json()["items"]


@pytest.mark.parametrize(("content", "status"), [("{", 400), ('{"name": ""}', 422)])
def test_what_is_no_item_is_refused(items: str, content: str, status: int) -> None:
    assert requests.post(items, data=content, timeout=10).status_code == status


def test_what_is_not_there_says_so(base_url: str) -> None:
    assert requests.get(f"{base_url}/nothing", timeout=10).status_code == 404
