"""Serves the bare repositories below /srv/git by http, through git's own CGI program.

A repository that is asked for and is not there is made: tests push before anything else.
"""

import os
import re
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = os.environ.get("GIT_ROOT", "/srv/git")
NAME = re.compile(r"^/([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*\.git)(/|$)")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def serve(self):
        path, _, query = self.path.partition("?")
        if path == "/healthz":
            self.send_response(200)
            self.end_headers()
            return
        found = NAME.match(path)
        if not found:
            self.send_error(404)
            return
        repository = os.path.join(ROOT, found.group(1))
        if not os.path.isdir(repository):
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", repository], check=True)
            subprocess.run(["git", "-C", repository, "config", "http.receivepack", "true"], check=True)
        self.backend(path, query)

    do_GET = do_POST = serve

    def backend(self, path, query):
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        body = self.body()
        environment["CONTENT_LENGTH"] = str(len(body))
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=False
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self):
        """The request's body, which git sends in chunks when it is large."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
