"""What is answered, whatever asks."""

from __future__ import annotations

import json
from typing import Tuple

from webapp.store import Store

#: Letters that a name may have.
LONGEST = 80

Answer = Tuple[int, object]


def answer(store: Store, method: str, path: str, body: bytes) -> Answer:
    """Status and content of the answer to a request."""
    if path == "/healthz":
        return 200, {"status": "ok"}
    if path != "/items":
        return 404, {"error": f"there is no {path}"}
    if method == "GET":
        return 200, {"items": store.all()}
    if method != "POST":
        return 405, {"error": f"{method} is nothing that can be done"}
    return add(store, body)


def add(store: Store, body: bytes) -> Answer:
    """Takes an item, if it is one."""
    try:
        name = json.loads(body)["name"]
    except (ValueError, KeyError, TypeError):
        return 400, {"error": "an item has a name"}
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST:
        return 422, {"error": f"a name has up to {LONGEST} letters"}
    store.add(name)
    return 201, {"name": name}
