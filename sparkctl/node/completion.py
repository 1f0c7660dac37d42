"""Asking vLLM's OpenAI API from the node itself; a real generation is the only proof of health."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from sparkctl.node import files


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """Read /version and /v1/models at `base`, and with `tokens` > 0 generate that many.

    Gives `version`, `models`, `text`, `tokens` generated, `seconds`, or `error` with what failed.
    The API key is read from the cluster's environment file, never from an argv.
    """
    base, timeout = request["base"], float(request.get("timeout", 60))
    answer: dict[str, Any] = {}
    try:
        answer["version"] = _get(request, base + "/version", None, 5.0).get("version")
        models = _get(request, base + "/v1/models", None, 5.0)
        answer["models"] = [m["id"] for m in models["data"]]
        if request.get("tokens"):
            body = {
                "model": answer["models"][0],
                "prompt": "Hello",
                "max_tokens": request["tokens"],
                "temperature": 0,
            }
            start = time.monotonic()
            reply = _get(request, base + "/v1/completions", body, timeout)
            answer["text"] = reply["choices"][0]["text"]
            answer["tokens"] = reply["usage"]["completion_tokens"]
            answer["seconds"] = round(time.monotonic() - start, 3)
            if not answer["tokens"]:
                answer["error"] = "the completion came back without a token"
    except urllib.error.HTTPError as error:
        detail = error.read(600).decode(errors="replace")
        answer["error"] = f"{error.url}: HTTP {error.code}: {detail}"
    except (OSError, ValueError, KeyError, IndexError) as error:
        answer["error"] = f"{base}: {getattr(error, 'reason', error)}"
    return answer


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
        return json.load(reply)
