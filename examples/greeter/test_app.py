"""The tests of greeter: python3 run_tests.py, or python3 -m unittest, or pytest."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from decimal import Decimal
from pathlib import Path

import app


class GreetTest(unittest.TestCase):
    def test_greets_a_visitor_by_name(self) -> None:
        self.assertEqual(app.greet("Ada"), "Hello, Ada!")

    def test_greets_the_world_when_nobody_is_named(self) -> None:
        self.assertEqual(app.greet("  "), "Hello, world!")


class SettingsTest(unittest.TestCase):
    def test_reads_its_files(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {
                "VERSION": "2.1.0\n",
                "ERROR_PERCENT": "2.5",
                "DELAY_MS": "40",
            }.items():
                Path(folder, name).write_text(text)
            settings = app.Settings.read(Path(folder))
        self.assertEqual(settings, app.Settings("2.1.0", Decimal("2.5"), 0.04))

    def test_missing_files_leave_defaults(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(app.Settings.read(Path(folder)), app.Settings())

    def test_refuses_an_impossible_share(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "ERROR_PERCENT").write_text("101")
            with self.assertRaises(ValueError):
                app.Settings.read(Path(folder))


class ErrorsTest(unittest.TestCase):
    def test_the_share_of_errors_is_exact(self) -> None:
        for percent in ["0", "5", "12.5", "33.3", "100"]:
            errors = app.Errors(Decimal(percent))
            count = sum(errors.is_next() for _ in range(1000))
            self.assertEqual(count, int(Decimal(percent) * 10), percent)

    def test_errors_are_evenly_spread(self) -> None:
        errors = app.Errors(Decimal(5))
        failed = [number for number in range(1, 101) if errors.is_next()]
        self.assertEqual(failed, [20, 40, 60, 80, 100])


class ServerTest(unittest.TestCase):
    def start(self, **settings: object) -> app.Server:
        server = app.Server(("127.0.0.1", 0), app.Settings(**settings))
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def connect(self, server: app.Server) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.server_port, timeout=5
        )
        self.addCleanup(connection.close)
        return connection

    def get(
        self, connection: http.client.HTTPConnection, path: str, **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=named)
        response = connection.getresponse()
        return response, response.read().decode()

    def test_says_which_revision_answers(self) -> None:
        connection = self.connect(self.start(revision="v7"))
        response, body = self.get(connection, "/?name=Ada", x_slipway_seq="12")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["x-revision"], "v7")
        self.assertEqual(response.headers["x-slipway-seq"], "12")
        expected = {"app": "greeter", "revision": "v7", "message": "Hello, Ada!"}
        self.assertEqual(json.loads(body), expected)
        response, _ = self.get(connection, "/", x_slipway_seq="none")
        self.assertIsNone(response.headers["x-slipway-seq"])

    def test_one_connection_serves_many_requests(self) -> None:
        server = self.start()
        connection = self.connect(server)
        self.get(connection, "/")
        sock = connection.sock
        self.get(connection, "/healthz")
        self.assertIs(connection.sock, sock)
        self.assertIsNotNone(sock)

    def test_is_healthy_and_ready(self) -> None:
        connection = self.connect(self.start())
        for path in ["/healthz", "/readyz"]:
            self.assertEqual(self.get(connection, path)[0].status, 200, path)
        self.assertEqual(self.get(connection, "/elsewhere")[0].status, 404)

    def test_errors_on_purpose_are_marked(self) -> None:
        connection = self.connect(self.start(error_percent=Decimal(50)))
        answers = [self.get(connection, "/")[0] for _ in range(4)]
        self.assertEqual([answer.status for answer in answers], [200, 500, 200, 500])
        marks = [answer.headers["x-sample-error"] for answer in answers]
        self.assertEqual(marks, [None, "1", None, "1"])

    def test_counts_its_answers(self) -> None:
        connection = self.connect(self.start(error_percent=Decimal(50), revision="v7"))
        for path in ["/", "/", "/", "/healthz"]:
            self.get(connection, path)
        _, text = self.get(connection, "/metrics")
        lines = text.splitlines()
        self.assertIn('http_requests_total{code="200",method="GET"} 2', lines)
        self.assertIn('http_requests_total{code="500",method="GET"} 1', lines)
        self.assertIn('http_request_duration_seconds_bucket{le="+Inf"} 3', lines)
        self.assertIn("http_request_duration_seconds_count 3", lines)
        self.assertIn('greeter_info{revision="v7"} 1', lines)

    def test_many_at_once_are_all_answered(self) -> None:
        server = self.start(delay_seconds=0.05)
        statuses: list[int] = []

        def visit() -> None:
            statuses.append(self.get(self.connect(server), "/")[0].status)

        visitors = [threading.Thread(target=visit) for _ in range(50)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        self.assertEqual(statuses, [200] * 50)


class StopTest(unittest.TestCase):
    def start(self, delay_ms: int, linger: str) -> tuple[subprocess.Popen[str], int]:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        program = Path(folder.name, "app.py")
        program.write_bytes(Path(app.__file__).read_bytes())
        Path(folder.name, "DELAY_MS").write_text(str(delay_ms))
        process = subprocess.Popen(
            [sys.executable, str(program)],
            env={**os.environ, "PORT": "0", "LINGER_SECONDS": linger},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, int(process.stdout.readline().split()[-1])

    def test_finishes_what_it_began(self) -> None:
        process, port = self.start(delay_ms=500, linger="0")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as busy:
            busy.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            # When another connection has an answer, the first request has been read.
            self.get(port, "/healthz")
            process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: busy.recv(4096), b""))
        self.assertIn(b"200 OK", answer)
        self.assertIn(b"connection: close", answer)
        self.assertIn(b"Hello, world!", answer)
        self.assertEqual(process.wait(timeout=10), 0)

    def test_lingers_for_clients_that_do_not_know_yet(self) -> None:
        process, port = self.start(delay_ms=0, linger="10")
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        kept.request("GET", "/readyz")
        self.assertEqual(kept.getresponse().read(), b"ready\n")
        process.send_signal(signal.SIGTERM)
        answers = []
        while not answers or answers[-1] == b"ready\n":
            kept.request("GET", "/readyz")
            answers.append(kept.getresponse().read())
        self.assertEqual(answers[-1], b"stopping\n")
        self.assertEqual(process.wait(timeout=5), 0, "nobody is connected any more")

    def test_idle_connections_do_not_hold_it_up(self) -> None:
        process, port = self.start(delay_ms=0, linger="0.2")
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            self.get(port, "/healthz")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=5), 0)

    def get(self, port: int, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()


if __name__ == "__main__":
    unittest.main()
