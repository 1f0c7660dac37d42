"""A GCS that speaks as much HTTP/2 as one call needs, and gives captured answers (Ray 2.60)."""

from __future__ import annotations

import json
import socketserver
import struct
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAPTURED = Path(__file__).parents[1] / "fixtures/facts/gcs.json"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
OK, UNAUTHENTICATED = b"\0\x0bgrpc-status\x010", b"\0\x0bgrpc-status\x0216"


def captured() -> dict[str, bytes]:
    """Each method's answer."""
    return {name: bytes.fromhex(text) for name, text in json.loads(CAPTURED.read_text()).items()}


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    """A frame of the first stream."""
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, 1) + payload


def reply(message: bytes | None, trailer: bytes = OK) -> bytes:
    """All that a server sends for a message, in frames of the largest size; None: only a status."""
    if message is None:
        return SETTINGS + frame(1, 5, trailer)
    data = struct.pack(">BI", 0, len(message)) + message
    parts = [data[at : at + 16384] for at in range(0, len(data), 16384)]
    return b"".join(
        [SETTINGS, frame(1, 4, b"\x88"), *(frame(0, 0, p) for p in parts), frame(1, 5, trailer)]
    )


@contextmanager
def gcs(answer: Callable[[str, bytes], bytes | None]) -> Iterator[str]:
    """Its address; `answer` gives what is sent for a method and its headers, None: silence."""
    over = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = self.rfile.read(24)  # the preface
            while asked and (head := self.rfile.read(9)):
                payload = self.rfile.read(int.from_bytes(head[:3], "big"))
                if head[3] == 1:
                    headers = payload
                if head[3] == 0:
                    break
            method = headers.partition(b"/ray.rpc.")[2].partition(b"/")[2]
            (name,) = (n for n in captured() if method.startswith(n.encode()))
            sent = answer(name, headers)
            if sent is None:
                over.wait(30)
            else:
                self.wfile.write(sent)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
