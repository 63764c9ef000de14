"""Serves it on port 8080."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from portal.flags import of
from portal.service import answer

FLAGS = of({"new-search": 10, "dark": 50, "checkout.v2": 100, "old": 0})


class Handler(BaseHTTPRequestHandler):
    """Reads requests and writes answers."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: else the second waits for the client's delayed ACK.
    disable_nagle_algorithm = True
    server_version, sys_version = "portal", ""

    def _handle(self) -> None:
        said = answer(FLAGS, self.command, self.path)
        body = said.text.encode()
        self.send_response(said.status)
        self.send_header("content-type", said.content_type)
        self.send_header("content-length", str(len(body)))
        for name, value in said.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def log_message(self, format: str, *args: object) -> None:
        """Silence: a line per request would be most of the work."""


ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
