"""What is answered, whatever asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from portal.flags import Flag, FlagError, checked
from portal.page import render

#: What every answer says to browsers.
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Answer:
    """Status, content, and what is said beside it."""

    status: int
    text: str
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)


def _json(status: int, content: object) -> Answer:
    return Answer(status, json.dumps(content))


def answer(flags: Mapping[str, Flag], method: str, target: str) -> Answer:
    """The answer to a request."""
    url = urlsplit(target)
    if method not in ("GET", "HEAD"):
        return _json(405, {"error": "nothing can be changed here"})
    if url.path == "/healthz":
        return _json(200, {"status": "ok"})
    if url.path == "/":
        return Answer(200, render(flags.values()), "text/html; charset=utf-8")
    if url.path == "/flags":
        return _json(200, {name: flag.percent for name, flag in flags.items()})
    if url.path.startswith("/flags/"):
        return _of_user(flags, url.path.removeprefix("/flags/"), url.query)
    return _json(404, {"error": "there is no such page"})


def _of_user(flags: Mapping[str, Flag], name: str, query: str) -> Answer:
    users = parse_qs(query).get("user", [])
    if len(users) != 1:
        return _json(400, {"error": "ask for one user"})
    try:
        flag = flags.get(checked(name))
        if flag is None:
            return _json(404, {"error": "there is no such feature"})
        return _json(200, {"flag": name, "on": flag.is_on(users[0])})
    except FlagError as error:
        return _json(422, {"error": str(error)})
