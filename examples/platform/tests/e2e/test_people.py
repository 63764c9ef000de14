"""What people see: pytest --base-url=http://… tests/e2e"""

import pytest
import requests


@pytest.mark.parametrize("user", ["alice", "bob", "carol", "dave"])
def test_whoever_asks_twice_gets_one_answer(base_url: str, user: str) -> None:
    asked = [requests.get(f"{base_url}/flags/dark?user={user}", timeout=10) for _ in range(2)]
    assert asked[0].json() == asked[1].json()


@pytest.mark.parametrize(("flag", "on"), [("checkout.v2", True), ("old", False)])
@pytest.mark.parametrize("user", ["alice", "bob"])
def test_all_or_nobody_have_it(base_url: str, flag: str, on: bool, user: str) -> None:
    said = requests.get(f"{base_url}/flags/{flag}?user={user}", timeout=10).json()
    assert said["on"] is on


@pytest.mark.parametrize("flag", ["new-search", "dark", "checkout.v2", "old"])
def test_the_page_shows_every_feature(base_url: str, flag: str) -> None:
    assert flag in requests.get(base_url, timeout=10).text
