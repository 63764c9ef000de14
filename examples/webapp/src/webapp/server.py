"""Requests over HTTP."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Tuple

from webapp.app import answer
from webapp.store import Store


class Handler(BaseHTTPRequestHandler):
    """Reads requests and writes answers."""

    server: "Server"

    def _handle(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(length)
        # A connection to a database is for one at a time.
        with self.server.turn:
            status, content = answer(self.server.store, self.command, self.path, body)
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _handle

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class Server(ThreadingHTTPServer):
    """Serves what a store has."""

    def __init__(self, address: Tuple[str, int], store: Store) -> None:
        super().__init__(address, Handler)
        self.store = store
        self.turn = threading.Lock()
