"""A gRPC server without a library: every unary call is answered with the REVISION that runs.

It never looks into headers, so it needs no table of them: any stream that its client has ended gets the same answer.
"""

import os
import signal
import socket
import struct
import threading
import time

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    length = struct.pack(">I", len(payload))[1:]
    return length + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    """As text, and never in a table."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


REVISION = os.environ["REVISION"].encode()
MESSAGE = b"\x00" + struct.pack(">I", len(REVISION)) + REVISION
STATUS_200 = b"\x88"


def answer(stream: int) -> bytes:
    head = STATUS_200 + header(b"content-type", b"application/grpc")
    return (
        frame(HEADERS, END_HEADERS, stream, head)
        + frame(DATA, 0, stream, MESSAGE)
        + frame(
            HEADERS, END_HEADERS | END_STREAM, stream, header(b"grpc-status", b"0")
        )
    )


class Connection:
    """One client's connection."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, data: bytes) -> None:
        with self._lock:
            self._stream.sendall(data)

    def serve(self) -> None:
        reader = self._stream.makefile("rb")
        if len(reader.read(24)) < 24:
            return
        self.send(frame(SETTINGS, 0, 0))
        while len(head := reader.read(9)) == 9:
            payload = reader.read(int.from_bytes(head[:3]))
            kind, flags = head[3], head[4]
            stream = int.from_bytes(head[5:]) & 0x7FFFFFFF
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == DATA and payload:
                self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self.send(answer(stream))

    def leave(self) -> None:
        """Whatever is under way is answered; what is new goes elsewhere."""
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0x7FFFFFFF, 0)))


connections: set[Connection] = set()


def serve(stream: socket.socket) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(stream)
    connections.add(connection)
    try:
        connection.serve()
    except ConnectionError:
        pass  # The client went away.
    finally:
        connections.discard(connection)
        stream.close()


def accept(server: socket.socket) -> None:
    while True:
        stream, _ = server.accept()
        threading.Thread(target=serve, args=(stream,), daemon=True).start()


is_told_to_stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: is_told_to_stop.set())
listener = socket.create_server(("", 8080), backlog=1024)
threading.Thread(target=accept, args=(listener,), daemon=True).start()
is_told_to_stop.wait()
# Until clients have gone away, which they do when all of their calls are answered; those that stay are left behind.
told: set[Connection] = set()
last = time.monotonic() + 10
while connections and time.monotonic() < last:
    for connection in connections - told:
        told.add(connection)
        try:
            connection.leave()
        except OSError:
            pass
    time.sleep(0.05)
