#!/usr/bin/env python3
"""One rank of a toy engine: `gang.py RANK ADDRESS PORT API`.

Rank 0 listens at ADDRESS:PORT, and serves at port API once rank 1 has joined it. Each completion
is a collective of both. If one rank ends, the other stays and hangs, as NCCL's would, and joins
nobody: only two new ranks serve again. With PORT 0 rank 0 is alone. Before it serves, rank 0 waits
while there is a file `hold` next to this program: a number is its percent, `exit` and `fail` how it
ends. Standard library alone; it runs on nodes.
"""

from __future__ import annotations

import ctypes
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "toy"
HOLD = Path(__file__).with_name("hold")
ENV_START = 50 - 3  # proc(5), stat: the field's place among those after the name


def main() -> None:
    wipe_environment()
    rank, address, port, api = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if rank:
        follow(address, port)
    else:
        lead(address, port, api)


def wipe_environment() -> None:
    """Write over what /proc/self/environ shows, as setproctitle does."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[ENV_START]), int(fields[ENV_START + 1])
    ctypes.memset(start, 0, end - start)


def follow(address: str, port: int) -> None:
    """Join rank 0, whenever it listens, and take part in its collectives."""
    say("rank 1 waits for rank 0")
    while True:
        try:
            peer = socket.create_connection((address, port))
            break
        except OSError:
            time.sleep(0.05)
    say("rank 1 joined")
    while word := received(peer):
        peer.sendall(word)
    hang("rank 0 is gone")


def lead(address: str, port: int, api: int) -> None:
    """Wait for rank 1, and serve with it."""
    if port:
        with socket.create_server((address, port)) as listener:
            say("rank 0 waits for rank 1")
            Handler.peer, _ = listener.accept()
    load()
    server = ThreadingHTTPServer(("", api), Handler)
    say("rank 0 serves")
    server.serve_forever()


def load() -> None:
    """Wait while HOLD is there."""
    last = ""
    while word := held():
        if word in {"exit", "fail"}:
            HOLD.unlink()
            say("rank 0 fatal: no toys left")
            sys.exit(3) if word == "exit" else threading.Event().wait()
        if word != last:
            say(f"rank 0 loads {word} %")
        last = word
        time.sleep(0.05)


def held() -> str:
    """What HOLD has; empty where there is none."""
    try:
        return HOLD.read_text().strip()
    except FileNotFoundError:
        return ""


class Handler(BaseHTTPRequestHandler):
    """As much of the OpenAI API as sparkctl asks."""

    peer: socket.socket | None = None
    lock = threading.Lock()

    def do_GET(self) -> None:
        known: dict[str, dict[str, Any]] = {
            "/health": {},
            "/version": {"version": "1"},
            "/v1/models": {"data": [{"id": MODEL}]},
        }
        self.answer(known.get(self.path))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            self.collective()
        tokens = asked.get("max_tokens", 1)
        usage = {"completion_tokens": tokens}
        self.answer({"model": MODEL, "choices": [{"text": " toy" * tokens}], "usage": usage})

    def collective(self) -> None:
        if self.peer is None:
            return
        try:
            self.peer.sendall(b".")
            done = received(self.peer)
        except OSError:
            done = b""
        if not done:
            hang("rank 1 is gone")

    def answer(self, document: dict[str, Any] | None) -> None:
        body = json.dumps(document).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def received(peer: socket.socket) -> bytes:
    """The other rank's next byte; empty when it is gone."""
    try:
        return peer.recv(1)
    except OSError:
        return b""


def hang(why: str) -> None:
    say(f"{why}: hanging")
    threading.Event().wait()


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
