"""Asks a running greeter, as its users do, whether it is the version of these sources.

TARGET is its URL, TARGET_HOST the name by which a gateway knows it.
"""

import json
import os
import sys
import time
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

WITHIN = 15  # seconds; a gateway may hear of a new route a moment later
REQUESTS = 5  # in a row that have to be right


def problem(url: str, host: str, version: str) -> str | None:
    """What is wrong with an answer."""
    request = Request(url, headers={"Host": host})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=5) as answer:
            body = json.load(answer)
    except (OSError, ValueError) as error:
        return str(error)
    if body.get("revision") != version:
        return f"{host} answers as version {body.get('revision')}, not {version}"
    if not str(body.get("message", "")).startswith("Hello, "):
        return f"{host} does not greet: {body}"
    return None


def main() -> int:
    url, host = os.environ["TARGET"], os.environ["TARGET_HOST"]
    version = (Path(__file__).parent / "VERSION").read_text().strip()
    deadline = time.monotonic() + WITHIN
    good = 0
    while good < REQUESTS:
        wrong = problem(url, host, version)
        good = 0 if wrong else good + 1
        if wrong and time.monotonic() > deadline:
            print(f"FAILED: {wrong}")
            return 1
        if wrong:
            time.sleep(0.2)
    print(f"{host} greets as version {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
