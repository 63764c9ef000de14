"""The requirements of OWASP's ASVS, level 2, that this service can break: a test for each, named after it."""

import ast
from pathlib import Path

import pytest

from portal.flags import FlagError, checked, of
from portal.page import render
from portal.service import HEADERS, answer

FLAGS = of({"dark": 50})
SOURCES = sorted(Path("portal").glob("*.py"))
EVIL = ["<script>", "../../etc/passwd", "'; DROP TABLE flags", "${jndi:ldap}", "a\r\nset-cookie: a"]


@pytest.mark.parametrize("name", EVIL)
def test_v5_1_3_input_is_checked_against_what_is_allowed(name: str) -> None:
    with pytest.raises(FlagError):
        checked(name)


@pytest.mark.parametrize("name", EVIL)
def test_v5_3_3_nothing_that_was_asked_for_is_in_an_answer(name: str) -> None:
    assert name not in answer(FLAGS, "GET", f"/flags/{name}?user=alice").text


def test_v5_3_1_output_is_escaped_for_where_it_stands() -> None:
    flag = FLAGS["dark"]
    object.__setattr__(flag, "name", "<b>")
    assert "<b>" not in render([flag])
    object.__setattr__(flag, "name", "dark")


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_v5_2_4_nothing_is_evaluated(source: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)]
    assert not {call.id for call in calls if isinstance(call, ast.Name)} & {"eval", "exec", "compile"}


def test_v7_4_1_errors_say_nothing_of_the_inside() -> None:
    said = answer(FLAGS, "GET", "/flags/A?user=alice").text
    assert "Traceback" not in said and "portal" not in said


@pytest.mark.parametrize(
    ("requirement", "header", "value"),
    [
        ("v14_4_3", "content-security-policy", "default-src 'none'"),
        ("v14_4_4", "x-content-type-options", "nosniff"),
        ("v14_4_6", "referrer-policy", "no-referrer"),
        ("v14_4_7", "x-frame-options", "DENY"),
        ("v8_2_1", "cache-control", "no-store"),
    ],
)
def test_v14_4_headers_are_said(requirement: str, header: str, value: str) -> None:
    assert HEADERS[header].startswith(value), requirement


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "CONNECT"])
def test_v14_5_1_methods_that_are_not_used_are_refused(method: str) -> None:
    assert answer(FLAGS, method, "/").status == 405
