"""A unary gRPC call without TLS, made with the standard library alone.

Only as much of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as that needs: header fields are sent as
literals, and of those received only grpc-status is looked for. gRPC's own framing is described in
PROTOCOL-HTTP2.md of its repository.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4  # a setting
LIMIT = 4 << 20  # bytes of an answer; also the window that the server may fill
LARGEST = 1 << 14  # bytes of a frame, unless the receiver allows more
STATUS = re.compile(rb"grpc-status[\x01\x02](\d\d?)")


class Foreign(ValueError):
    """What answers there does not speak this protocol, or refuses the call."""


def call(address: str, method: str, message: bytes, *, token: str, timeout: float) -> bytes:
    """The answer of `method` (/package.Service/Name) at HOST:PORT to a message.

    `token`, if not empty, goes as a bearer token. `timeout` is in seconds, for all of it. Raises
    OSError when nothing answers in time, Foreign when the answer is no message.
    """
    until = time.monotonic() + timeout
    host, _, port = address.rpartition(":")
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", address),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *([("authorization", f"Bearer {token}")] if token else []),
    ]
    with socket.create_connection((host.strip("[]"), int(port)), timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(
            PREFACE
            + _frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, LIMIT))
            + _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LIMIT))
            + _frame(HEADERS, END_HEADERS, 1, b"".join(_literal(*field) for field in fields))
            + _frame(DATA, END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message)
        )
        data, status = _answer(_frames(connection, until))
    if len(data) < 5 or data[0] or len(data) != 5 + struct.unpack(">I", data[1:5])[0]:
        raise Foreign(f"{address}: {method}: no message (gRPC status {status})")
    return data[5:]


def _answer(frames: Iterator[tuple[int, int, int, bytes]]) -> tuple[bytes, str]:
    """The data of the first stream, and its status."""
    data, status = b"", "unknown"
    for number, (kind, flags, stream, payload) in enumerate(frames):
        if number == 0 and kind != SETTINGS:
            raise Foreign("it does not speak HTTP/2")
        if kind == DATA:
            data += payload
        if kind == HEADERS and (found := STATUS.search(payload)):
            status = found[1].decode()
        if len(data) > LIMIT:
            raise Foreign(f"it answers with more than {LIMIT} bytes")
        ended = kind in (DATA, HEADERS) and flags & END_STREAM
        if kind in (RESET, GOAWAY) or (ended and stream):
            break
    return data, status


def _frames(connection: socket.socket, until: float) -> Iterator[tuple[int, int, int, bytes]]:
    """Each frame's type, flags, stream and payload, until the connection ends."""
    while head := _exactly(connection, 9, until):
        size = int.from_bytes(head[:3], "big")
        if size > LARGEST:
            raise Foreign("it does not speak HTTP/2")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        yield kind, flags, stream, _exactly(connection, size, until)


def _exactly(connection: socket.socket, size: int, until: float) -> bytes:
    """That many bytes, fewer when the connection ends. Raises TimeoutError at `until`."""
    found = b""
    while len(found) < size:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        part = connection.recv(size - len(found))
        if not part:
            return b""
        found += part
    return found


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = struct.pack(">BBI", kind, flags, stream)
    return len(payload).to_bytes(3, "big") + head + payload


def _literal(name: str, value: str) -> bytes:
    """A header field without indexing, name and value as they are (RFC 7541, 6.2.2)."""
    return b"\0" + _text(name.encode()) + _text(value.encode())


def _text(value: bytes) -> bytes:
    """A string without Huffman code; its length has a prefix of 7 bits (RFC 7541, 5.1)."""
    size, more = len(value), b""
    if size >= 127:
        size, left = 127, size - 127
        while left >= 128:
            more += bytes([left % 128 | 128])
            left //= 128
        more += bytes([left])
    return bytes([size]) + more + value
