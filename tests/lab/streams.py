"""Clients that keep an engine busy: open streams of completions."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sparkctl.node.completion import unverified

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def streams(host: str, key: str, model: str, count: int, tokens: int) -> Iterator[None]:
    """`count` streams of `tokens` tokens each over TLS; the block runs once one has tokens."""
    body = {"model": model, "prompt": "Hello", "max_tokens": tokens}
    body |= {"ignore_eos": True, "stream": True}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    open_ = [
        http.client.HTTPSConnection(host, 30000, timeout=600, context=unverified())
        for _ in range(count)
    ]
    begun = threading.Event()

    def drain(connection: http.client.HTTPSConnection) -> None:
        """Read until the stream ends or the test closes the connection."""
        with suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            reply = connection.getresponse()
            while reply.read1():
                if reply.status == 200:
                    begun.set()

    try:
        for connection in open_:
            connection.request("POST", "/v1/completions", json.dumps(body), headers)
            threading.Thread(target=drain, args=(connection,), daemon=True).start()
        assert begun.wait(60), "no stream gives tokens"
        yield
    finally:
        for connection in open_:
            if connection.sock:
                with suppress(OSError):  # it has ended by itself
                    # close() does not close a socket that another thread reads.
                    connection.sock.shutdown(socket.SHUT_RDWR)
