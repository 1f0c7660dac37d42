"""Asking vLLM's OpenAI API from the node itself; a real generation is the only proof of health."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from sparkctl.node import files, processes, vitals

LOOK = 0.5  # seconds between looks at /metrics
AGAIN = 0.5  # seconds between questions to an API that has just started
READ = 5.0  # seconds for one: an API with hundreds of streams answers late
LIMIT = 4 << 20  # bytes of an answer that are read; /metrics has some 100 kB an engine
# Of an answer that is no vLLM's: another shape, no JSON, or one nested without end.
STRANGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
FAILED = (OSError, http.client.HTTPException, *STRANGE)
TIMED_OUT = (TimeoutError, socket.timeout)  # two types before Python 3.10
# The API server ended: it does not listen, or what it was sending is cut.
DROPPED = (ConnectionError, http.client.IncompleteRead)


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """Read /version and /v1/models at `base`, and with `tokens` > 0 generate that many.

    Gives `version`, `models`, `text`, `tokens` generated, `seconds`, `health` (see vitals.py), or
    `error` with what failed, see _error. The API has `answer` seconds for each of the first two,
    the completion `timeout`; `still`, `patience` and `first` say when the wait ends earlier, see
    vitals.Watch. With `first` the first two are asked again for `timeout` seconds, while the
    process `pid` that `started` then is alive. The API key is read from the cluster's environment
    file, never from an argv.
    """
    answer = _introduced(request)
    until = time.monotonic() + (float(request.get("timeout", 60)) if request.get("first") else 0.0)
    while _passing(answer) and time.monotonic() < until and not _gone(request):
        time.sleep(AGAIN)
        answer = _introduced(request)
    if "error" in answer or not request.get("tokens"):
        return answer
    return {**answer, **_generate(request, answer["models"][0])}


def _introduced(request: dict[str, Any]) -> dict[str, Any]:
    """The API's `version` and `models`, or the `error` with the `health` that it means."""
    base, bound = request["base"], float(request.get("answer", 5.0))
    answer: dict[str, Any] = {}
    try:
        answer["version"] = _get(request, base + "/version", None, bound).get("version")
        models = _get(request, base + "/v1/models", None, bound)
        answer["models"] = [m["id"] for m in models["data"]]
        if not answer["models"]:
            raise ValueError("/v1/models lists no model")
    except FAILED as error:
        failed = _error(base, error)
        silent = failed["refused"] or isinstance(_reason(error), TIMED_OUT)
        return {**answer, **failed, "health": {"state": "silent" if silent else "failing"}}
    return answer


def _passing(answer: dict[str, Any]) -> bool:
    """Whether it failed as an API may that has just started; a 4xx is the same the next time."""
    return "error" in answer and not 400 <= (answer["status"] or 0) < 500


def _gone(request: dict[str, Any]) -> bool:
    return "pid" in request and not processes.alive(request["pid"], request["started"])


def _generate(request: dict[str, Any], model: str) -> dict[str, Any]:
    """Ask for a completion and watch the engine until it is back or the engine's state is clear.

    A request that is not waited for is closed with this process, and vLLM drops it.
    """
    start, timeout = time.monotonic(), float(request.get("timeout", 60))
    watch = vitals.Watch(
        start,
        still=float(request.get("still", timeout)),
        patience=float(request.get("patience", timeout)),
        first=bool(request.get("first")),
    )
    watch.look(start, _metrics(request))
    back: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def complete() -> None:
        back.put(_complete(request, model, timeout))

    threading.Thread(target=complete, daemon=True).start()
    while True:
        with suppress(queue.Empty):
            reply = back.get(timeout=LOOK)
            watch.look(time.monotonic(), _metrics(request))
            state = "failing" if "error" in reply else "generating"
            return {**reply, "health": watch.health(state)}
        now = time.monotonic()
        watch.look(now, _metrics(request))
        state = watch.state() or ("unclear" if now - start > timeout else "")
        if state:
            health = watch.health(state)
            error = {
                "busy": {},
                "wedged": {"error": vitals.describe(health)},
                "unclear": {"error": f"no completion within {timeout:g} s"},
            }
            return {**error[state], "health": health}


def _complete(request: dict[str, Any], model: str, timeout: float) -> dict[str, Any]:
    """The completion's `text`, `tokens` and `seconds`, or `error`.

    `dropped` is whether the connection ended while it was waited for.
    """
    body = {"model": model, "prompt": "Hello", "max_tokens": request["tokens"], "temperature": 0}
    base, start = request["base"], time.monotonic()
    try:
        # The wait ends by the caller's clock; this bound is for a thread that nobody waits for.
        reply = _get(request, base + "/v1/completions", body, timeout + READ)
        found = {
            "text": reply["choices"][0]["text"],
            "tokens": reply["usage"]["completion_tokens"],
            "seconds": round(time.monotonic() - start, 3),
        }
    except FAILED as error:
        return {**_error(base, error), "dropped": isinstance(_reason(error), DROPPED)}
    return found if found["tokens"] else {"error": "the completion came back without a token"}


def _error(base: str, error: BaseException) -> dict[str, Any]:
    """`error` in words, the HTTP `status` (null where the API did not answer with one), and
    `refused`: whether nobody listens there.
    """
    if isinstance(error, urllib.error.HTTPError):
        detail = b""
        with suppress(OSError, http.client.HTTPException):  # the status alone is an answer
            detail = error.read(600)
        said = f"{error.url}: HTTP {error.code}: {detail.decode(errors='replace')}"
        return {"error": said, "status": error.code, "refused": False}
    reason = _reason(error)
    return {
        "error": f"{base}: {str(reason) or type(error).__name__}",
        "status": None,
        "refused": isinstance(reason, ConnectionRefusedError),
    }


def _reason(error: BaseException) -> Any:
    """What urllib.request has wrapped: an exception, or a text."""
    return getattr(error, "reason", error)


def _metrics(request: dict[str, Any]) -> vitals.Look | None:
    """A look at /metrics; None when it is not there, cannot be read, or is larger than LIMIT."""
    try:
        text = _read(request, request["base"] + "/metrics", None, READ)
    except FAILED:
        return None
    return vitals.parse(text.decode(errors="replace"))


def unverified() -> ssl.SSLContext:
    """TLS that takes any certificate.

    The address is the node's own, so the request does not leave it, and a certificate is made
    out for the public name, which is another.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _get(request: dict[str, Any], url: str, body: object, timeout: float) -> Any:
    return json.loads(_read(request, url, body, timeout))


def _read(request: dict[str, Any], url: str, body: object, timeout: float) -> bytes:
    """What the API answers; raises ValueError when that is more than LIMIT."""
    headers = {"Content-Type": "application/json"}
    # As vLLM has it, which inherits a login's own key where the inventory sets none.
    key = files.over_login(request["cluster"]).get("VLLM_API_KEY")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    # A proxy from the login's environment must not see requests to the node itself.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified())
    )
    with opener.open(urllib.request.Request(url, data, headers), timeout=timeout) as reply:
        found: bytes = reply.read(LIMIT + 1)
    if len(found) > LIMIT:
        raise ValueError(f"{url} answers with more than {LIMIT} bytes")
    return found
