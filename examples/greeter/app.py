"""greeter: a small web service that says which revision of it answers.

Needs nothing but Python 3.11. Its files decide what it does:

- VERSION        the revision, in every answer
- ERROR_PERCENT  how many of the answers to / are errors; 5 means every 20th
- DELAY_MS       how long an answer to / takes at least
"""

import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SOURCE = Path(__file__).resolve().parent
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def greet(name: str) -> str:
    """The message for a visitor."""
    return f"Hello, {name.strip() or 'world'}!"


@dataclass(frozen=True)
class Settings:
    """What the files beside this program say."""

    revision: str = "dev"
    error_percent: Decimal = Decimal(0)
    delay_seconds: float = 0.0

    @staticmethod
    def read(folder: Path) -> "Settings":
        """Reads the files; one that is missing leaves its default."""

        def text(name: str, default: str) -> str:
            path = folder / name
            return path.read_text().strip() if path.exists() else default

        percent = Decimal(text("ERROR_PERCENT", "0"))
        if not 0 <= percent <= 100:
            raise ValueError(f"ERROR_PERCENT is {percent}, not a number from 0 to 100")
        delay = int(text("DELAY_MS", "0"))
        return Settings(text("VERSION", "dev"), percent, delay / 1000)


class Errors:
    """Chooses the requests that fail: evenly spread, exactly the share asked for."""

    def __init__(self, percent: Decimal) -> None:
        self._share, self._of = (percent / 100).as_integer_ratio()
        self._count = 0
        self._lock = threading.Lock()

    def is_next(self) -> bool:
        """Whether the next request fails."""
        with self._lock:
            before, self._count = self._count, self._count + 1
        return self._count_at(before + 1) > self._count_at(before)

    def _count_at(self, requests: int) -> int:
        return requests * self._share // self._of


class Metrics:
    """Counts answers, in the text format of Prometheus."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[int, str], int] = {}
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def observe(self, code: int, method: str, seconds: float) -> None:
        """Notes one answer."""
        index = next((i for i, le in enumerate(BUCKETS) if seconds <= le), len(BUCKETS))
        with self._lock:
            self._requests[code, method] = self._requests.get((code, method), 0) + 1
            self._buckets[index] += 1
            self._seconds += seconds

    def render(self, revision: str) -> str:
        """All metrics as text."""
        with self._lock:
            requests, buckets, seconds = (
                dict(self._requests),
                list(self._buckets),
                self._seconds,
            )
        lines = [
            "# HELP http_requests_total Answers to requests for /.",
            "# TYPE http_requests_total counter",
        ]
        for (code, method), count in sorted(requests.items()):
            lines.append(
                f'http_requests_total{{code="{code}",method="{method}"}} {count}'
            )
        lines += [
            "# HELP http_request_duration_seconds How long answers to / took.",
            "# TYPE http_request_duration_seconds histogram",
        ]
        total = 0
        for le, count in zip([*map(str, BUCKETS), "+Inf"], buckets, strict=True):
            total += count
            lines.append(f'http_request_duration_seconds_bucket{{le="{le}"}} {total}')
        lines += [
            f"http_request_duration_seconds_sum {seconds:.6f}",
            f"http_request_duration_seconds_count {total}",
            "# HELP greeter_info The revision that runs.",
            "# TYPE greeter_info gauge",
            f'greeter_info{{revision="{revision}"}} 1',
        ]
        return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: else the second waits for the client's delayed ACK.
    disable_nagle_algorithm = True
    timeout = 75  # of an idle connection
    server: "Server"

    def do_GET(self) -> None:  # noqa: N802 (the name is the base class's)
        started = time.monotonic()
        url = urlsplit(self.path)
        if url.path == "/healthz":
            self._answer(200, "text/plain", "ok\n")
        elif url.path == "/readyz":
            is_ready = not self.server.is_stopping
            text = "ready\n" if is_ready else "stopping\n"
            self._answer(200 if is_ready else 503, "text/plain", text)
        elif url.path == "/metrics":
            text = self.server.metrics.render(self.server.settings.revision)
            self._answer(200, "text/plain; version=0.0.4", text)
        else:
            code = self._greet(url.query) if url.path == "/" else self._not_found()
            self.server.metrics.observe(code, "GET", time.monotonic() - started)

    def _greet(self, query: str) -> int:
        settings = self.server.settings
        time.sleep(settings.delay_seconds)
        is_error = self.server.errors.is_next()
        name = parse_qs(query).get("name", [""])[0]
        message = "an error on purpose" if is_error else greet(name)
        body = {"app": "greeter", "revision": settings.revision, "message": message}
        headers = {"x-revision": settings.revision}
        if is_error:
            headers["x-sample-error"] = "1"
        seq = self.headers.get("x-slipway-seq")
        if seq is not None and seq.isdigit():
            headers["x-slipway-seq"] = seq
        code = 500 if is_error else 200
        self._answer(code, "application/json", json.dumps(body) + "\n", headers)
        return code

    def _not_found(self) -> int:
        self._answer(404, "text/plain", "not found\n")
        return 404

    def _answer(
        self,
        code: int,
        content_type: str,
        text: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.server.is_stopping:
            # Tells clients to use another connection, and so another pod, from now on.
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence: a line per request would be most of the work."""


class Server(ThreadingHTTPServer):
    """Serves until it is stopped, and then finishes what it began."""

    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], settings: Settings) -> None:
        super().__init__(address, Handler)
        self.settings = settings
        self.errors = Errors(settings.error_percent)
        self.metrics = Metrics()
        self.is_stopping = False
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._is_queue_empty = False

    def server_bind(self) -> None:
        # The base class asks DNS for the machine's full name, which can take its time.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request(self, request: socket.socket, client_address: object) -> None:
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that went away is no fault of ours.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def handle_timeout(self) -> None:
        self._is_queue_empty = True

    def stop(self, linger: float, grace: float) -> bool:
        """Stops without losing a request; tells whether all of them were answered.

        For at most `linger` seconds everything goes on, but answers close their
        connection: clients that keep connections open learn it from an answer. Then
        no connection is taken any more, idle ones are closed, and requests under way
        get `grace` seconds.
        """
        self.is_stopping = True
        self._wait_for_no_connections(linger)
        self.shutdown()
        # What the kernel has accepted already would be reset.
        self.timeout = 0
        while not self._is_queue_empty:
            self.handle_request()
        self.socket.close()
        with self._changed:
            for connection in self._connections:
                try:
                    # A request that has arrived can still be read, and answered.
                    connection.shutdown(socket.SHUT_RD)
                except OSError:
                    pass  # It is closed already.
        return self._wait_for_no_connections(grace)

    def _wait_for_no_connections(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._connections, seconds)


def main() -> int:
    """Serves until SIGTERM or SIGINT."""
    settings = Settings.read(SOURCE)
    linger = float(os.environ.get("LINGER_SECONDS", "5"))
    server = Server(("", int(os.environ.get("PORT", "8080"))), settings)
    is_told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_told_to_stop.set())
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
    ).start()
    print(
        f"greeter {settings.revision} listens on port {server.server_port}", flush=True
    )
    is_told_to_stop.wait()
    return 0 if server.stop(linger, grace=20) else 1


if __name__ == "__main__":
    sys.exit(main())
