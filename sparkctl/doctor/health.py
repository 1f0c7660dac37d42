"""vLLM's API as the controller sees it: tells a server that is down from one behind a firewall."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

TIMEOUT = 5.0  # seconds


def health(host: str, port: int) -> dict[str, Any]:
    """`url` and `error` (null when /health answers 200) of the API at a node's host."""
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{port}/health"
    # A proxy of the controller's must not answer for the node.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT):
            return {"url": url, "error": None}
    except urllib.error.HTTPError as error:
        return {"url": url, "error": f"HTTP {error.code}"}
    except (OSError, ValueError) as error:
        return {"url": url, "error": str(getattr(error, "reason", error))}
