"""What clients rely on: pytest --base-url=http://… tests/contract"""

import pytest
import requests


@pytest.mark.parametrize(
    ("path", "status", "keys"),
    [
        ("/healthz", 200, {"status"}),
        ("/flags", 200, {"new-search", "dark", "checkout.v2", "old"}),
        ("/flags/dark?user=alice", 200, {"flag", "on"}),
        ("/flags/dark", 400, {"error"}),
        ("/flags/none?user=alice", 404, {"error"}),
        ("/flags/dark?user=A", 422, {"error"}),
        ("/nothing", 404, {"error"}),
    ],
)
def test_answers_have_their_form(base_url: str, path: str, status: int, keys: set[str]) -> None:
    reply = requests.get(base_url + path, timeout=10)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json()) == keys


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(base_url: str, method: str) -> None:
    assert requests.request(method, f"{base_url}/flags", timeout=10).status_code == 405
