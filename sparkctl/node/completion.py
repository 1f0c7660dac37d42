"""Asking vLLM's OpenAI API on the node itself; only a real generation proves its health."""

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
from typing import TYPE_CHECKING

from sparkctl.node import files, jsontext, processes, vitals

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Ask, Json

LOOK = 0.5  # seconds between looks at /metrics
AGAIN = 0.5  # seconds between questions to an API that has just started
READ = 5.0  # seconds for one: an API with hundreds of streams answers late
DEAD = 503  # what /health answers then
ABSENT = 404  # what SGLang answers for /version, which it does not have (0.5.23, run)
LIMIT = 4 << 20  # bytes of an answer that are read; /metrics has about 100 kB for each engine
# ValueError and LookupError: an answer that is not vLLM's.
FAILED = (OSError, http.client.HTTPException, ValueError, LookupError)
TIMED_OUT = (TimeoutError, socket.timeout)  # two types before Python 3.10
# The API server ended: it does not listen, or its answer was cut.
DROPPED = (ConnectionError, http.client.IncompleteRead)


def ask(request: Ask) -> Answer:
    """Read /version and /v1/models at `base`, and with `tokens` > 0 generate that many.

    Returns `version`, `models`, `text`, `tokens` generated, `seconds`, `health` (see vitals.py), or
    `error` with the keys of _error. The API has `answer` seconds for each of the first two, the
    completion `timeout`; `still`, `patience` and `first` end the wait earlier, see vitals.Watch.
    With `first` the first two are retried for `timeout` seconds, while the process `pid` that was
    `started` then is alive. The API key is read from the cluster's environment file, never from an
    argv. With `engine` an engine that has died is an error, though its API still answers.
    """
    answer, model = _introduced(request)
    until = time.monotonic() + (request.get("timeout", 60) if request.get("first") else 0.0)
    while model is None and _may_pass(answer) and time.monotonic() < until and not _gone(request):
        time.sleep(AGAIN)
        answer, model = _introduced(request)
    if model is not None and request.get("engine") and (dead := _dead(request)):
        return {**answer, **dead}
    if model is None or not request.get("tokens"):
        return answer
    return {**answer, **_generate(request, model)}


def _introduced(request: Ask) -> tuple[Answer, str | None]:
    """The API's `version` and `models` with the first of them, or the `error` with its `health`."""
    base, bound = request["base"], request.get("answer", 5.0)
    answer: dict[str, Json] = {}
    try:
        answer["version"] = _version(request, bound)
        models = jsontext.rows(_get(request, base + "/v1/models", None, bound)["data"])
        names = [jsontext.text(jsontext.table(model)["id"]) for model in models]
        answer["models"] = names
        if not names:
            raise ValueError("/v1/models lists no model")
    except FAILED as error:
        failed = _error(base, error)
        silent = failed["refused"] or isinstance(_reason(error), TIMED_OUT)
        health = {"state": "silent" if silent else "failing"}
        return {**answer, **failed, "health": health}, None
    return answer, names[0]


def _version(request: Ask, bound: float) -> Json:
    """The engine's version; None where the API does not have it."""
    try:
        return _get(request, request["base"] + "/version", None, bound).get("version")
    except urllib.error.HTTPError as error:
        if error.code != ABSENT:
            raise
    return None


def _dead(request: Ask) -> Answer | None:
    """The error of an engine that /health calls dead; None where it says nothing of the kind.

    vLLM's answers 503 then (0.14 to 0.33), while /v1/models goes on answering 200.
    """
    url = request["base"] + "/health"
    try:
        _read(request, url, None, request.get("answer", 5.0))
    except urllib.error.HTTPError as error:
        if error.code == DEAD:
            text = f"the engine has died: {url} answers HTTP {DEAD}"
            failed: Answer = {"error": text, "status": DEAD, "refused": False}
            return {**failed, "health": {"state": "failing"}}
    except FAILED:  # the answers before count
        return None
    return None


def _may_pass(answer: Answer) -> bool:
    """Whether it failed like an API that has just started; a 4xx is permanent."""
    status = answer["status"]
    return not (isinstance(status, int) and 400 <= status < 500)


def _gone(request: Ask) -> bool:
    return "pid" in request and not processes.alive(request["pid"], request["started"])


def _generate(request: Ask, model: str) -> Answer:
    """Ask for a completion and watch the engine until it returns or the engine's state is clear.

    A request that is not waited for is closed with this process, and vLLM drops it.
    """
    start, timeout = time.monotonic(), request.get("timeout", 60)
    watch = vitals.Watch(
        start,
        still=request.get("still", timeout),
        patience=request.get("patience", timeout),
        first=request.get("first", False),
    )
    watch.look(start, metrics(request))
    back: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def complete() -> None:
        back.put(_complete(request, model, timeout))

    threading.Thread(target=complete, daemon=True).start()
    while True:
        with suppress(queue.Empty):
            reply = back.get(timeout=LOOK)
            watch.look(time.monotonic(), metrics(request))
            state = "failing" if "error" in reply else "generating"
            return {**reply, "health": watch.health(state)}
        now = time.monotonic()
        watch.look(now, metrics(request))
        decided = watch.state() or ("unclear" if now - start > timeout else None)
        if decided:
            return _undone(watch.health(decided), timeout)


def _undone(health: vitals.Health, timeout: float) -> Answer:
    """The answer of a completion that did not return."""
    if health["state"] == "busy":
        return {"health": health}
    wedged = health["state"] == "wedged"
    error = vitals.describe(health) if wedged else f"no completion within {timeout:g} s"
    return {"error": error, "health": health}


def _complete(request: Ask, model: str, timeout: float) -> Answer:
    """The completion's `text`, `tokens` and `seconds`, or `error`.

    `dropped` is whether the connection ended during the wait.
    """
    tokens = request.get("tokens", 0)
    body: Json = {"model": model, "prompt": "Hello", "max_tokens": tokens, "temperature": 0}
    base, start = request["base"], time.monotonic()
    try:
        # The wait ends by the caller's clock; this bound is for a thread left behind.
        reply = _get(request, base + "/v1/completions", body, timeout + READ)
        choice = jsontext.table(jsontext.rows(reply["choices"])[0])
        text = jsontext.text(choice["text"])
        generated = jsontext.number(jsontext.table(reply["usage"])["completion_tokens"])
    except FAILED as error:
        return {**_error(base, error), "dropped": isinstance(_reason(error), DROPPED)}
    if not generated:
        return {"error": "the completion has no token"}
    seconds = round(time.monotonic() - start, 3)
    return {"text": text, "tokens": generated, "seconds": seconds}


def _error(base: str, error: BaseException) -> Answer:
    """`error` in words, the HTTP `status` (null if there is none), and `refused`: whether nothing
    listens there.
    """
    if isinstance(error, urllib.error.HTTPError):
        detail = b""
        with suppress(OSError, http.client.HTTPException):  # the status alone is an answer
            detail = error.read(600)
        text = f"{error.url}: HTTP {error.code}: {detail.decode(errors='replace')}"
        return {"error": text, "status": error.code, "refused": False}
    reason = _reason(error)
    return {
        "error": f"{base}: {str(reason) or type(error).__name__}",
        "status": None,
        "refused": isinstance(reason, ConnectionRefusedError),
    }


def _reason(error: BaseException) -> BaseException | str:
    """What urllib.request has wrapped: an exception, or a text."""
    return error.reason if isinstance(error, urllib.error.URLError) else error


def metrics(request: Ask) -> vitals.Look | None:
    """A look at /metrics; None if it is absent, unreadable or larger than LIMIT."""
    try:
        text = _read(request, request["base"] + "/metrics", None, READ)
    except FAILED:
        return None
    return vitals.parse(text.decode(errors="replace"))


def unverified() -> ssl.SSLContext:
    """TLS that accepts any certificate.

    The request does not leave the node, and its certificate is for the public name, not for this
    address.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _get(request: Ask, url: str, body: Json, timeout: float) -> Answer:
    """The JSON object that the API answers; raises ValueError for anything else."""
    return jsontext.table(jsontext.load(_read(request, url, body, timeout)))


def _read(request: Ask, url: str, body: Json, timeout: float) -> bytes:
    """The API's answer; raises ValueError if it is larger than LIMIT."""
    headers = {"Content-Type": "application/json"}
    # As vLLM has it, which inherits a login's own key if the inventory sets none.
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
