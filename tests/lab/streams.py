"""Clients that keep an engine busy: streams of completions, open until they are closed."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def streams(host: str, port: int, model: str, count: int, tokens: int) -> Iterator[None]:
    """`count` streams of `tokens` tokens each, under way once the body runs."""
    body = {
        "model": model, "prompt": "Hello", "max_tokens": tokens, "ignore_eos": True, "stream": True,
    }  # fmt: skip
    connections = [http.client.HTTPConnection(host, port, timeout=600) for _ in range(count)]
    try:
        for connection in connections:
            connection.request(
                "POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"}
            )
        readers = [threading.Thread(target=_drain, args=(c,), daemon=True) for c in connections]
        for reader in readers:
            reader.start()
        yield
    finally:
        for connection in connections:
            if connection.sock:
                connection.sock.close()


def _drain(connection: http.client.HTTPConnection) -> None:
    """Read until the stream or the connection ends."""
    try:
        reply = connection.getresponse()
        while reply.read1():
            pass
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        pass  # closed by the test
