"""Answers, without a network."""

import json

import pytest

from portal.flags import of
from portal.service import HEADERS, answer

FLAGS = of({"dark": 50, "all": 100})


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 200),
        ("/healthz", 200),
        ("/flags", 200),
        ("/flags/all?user=alice", 200),
        ("/flags/none?user=alice", 404),
        ("/flags/all", 400),
        ("/flags/all?user=a&user=b", 400),
        ("/flags/all?user=A", 422),
        ("/flags/A?user=alice", 422),
        ("/nothing", 404),
    ],
)
def test_every_answer_has_its_status(target: str, status: int) -> None:
    said = answer(FLAGS, "GET", target)
    assert said.status == status
    assert said.headers == HEADERS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(method: str) -> None:
    assert answer(FLAGS, method, "/flags").status == 405


def test_features_are_listed() -> None:
    assert json.loads(answer(FLAGS, "GET", "/flags").text) == {"dark": 50, "all": 100}


def test_somebody_has_a_feature() -> None:
    said = json.loads(answer(FLAGS, "GET", "/flags/all?user=alice").text)
    assert said == {"flag": "all", "on": True}


def test_the_page_has_every_feature() -> None:
    page = answer(FLAGS, "GET", "/").text
    assert page.count("<tr>") == 1 + len(FLAGS)
    assert '<html lang="en">' in page
