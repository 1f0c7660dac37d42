"""A server that speaks as much of vLLM's API as a look at its health reads."""

from __future__ import annotations

import itertools
import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPLY = {"choices": [{"text": " hi"}], "usage": {"completion_tokens": 4}}


def metrics(**values: float) -> str:
    """What vLLM writes for two engines that share these values equally, among its other lines."""
    lines = ["# HELP vllm:num_requests_running Number of requests", "python_gc_objects_total 7.0"]
    for name, value in values.items():
        for number in (0, 1):
            labels = f'engine="{number}",model_name="a {{b}} c"'
            lines.append(f"vllm:{name}{{{labels}}} {value / 2}")
    return "\n".join([*lines, ""])


@contextmanager
def server(
    look: Callable[[int], str | bytes | None],
    *,
    completion: Any = REPLY,
    status: int = 200,
    after: int | None = 0,
    models: Any = None,
    versions: Callable[[int], int | None] = lambda _: 200,
    health: int = 200,
) -> Iterator[str]:
    """Its base URL; `look` gives the n-th /metrics, None for 404.

    The completion comes back once /metrics was read `after` times, None for never; as status 0 the
    connection is dropped instead. `versions` gives the status of the n-th /version, None for one
    that is not answered, `health` that of /health.
    """
    looks, versions_asked = itertools.count(1), itertools.count(1)
    enough, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                number = next(looks)
                found = look(number)
                if after is not None and number >= after:
                    enough.set()
                self.send(404 if found is None else 200, found or "")
            elif self.path == "/version":
                code = versions(next(versions_asked))
                if code is None:
                    over.wait(30)
                    return
                self.send(code, json.dumps({"version": "0.32.0"}))
            else:
                listed = {"data": [{"id": "m"}]} if models is None else models
                self.send({"/health": health}.get(self.path, 200), json.dumps(listed))

        def do_POST(self) -> None:
            waited = enough if after else over
            if after != 0:
                waited.wait(30)
            if status:
                self.send(status, json.dumps(completion))

        def send(self, code: int, text: str | bytes) -> None:
            body = text if isinstance(text, bytes) else text.encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # nobody waits for the answer any more
                super().handle()

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        over.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()
