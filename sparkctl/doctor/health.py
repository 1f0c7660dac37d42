"""vLLM's API as the controller sees it: tells a server that is down from one behind a firewall."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from sparkctl.node.completion import unverified

TIMEOUT = 5.0  # seconds


def health(base: str) -> dict[str, Any]:
    """`url` and `error` (null when /health answers 200) of the API at `base`.

    Only whether it answers is asked, without the API key: so a certificate that this machine
    cannot verify, such as a self-signed one, is fine.
    """
    url = f"{base}/health"
    # A proxy of the controller's must not answer for the node.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified())
    )
    try:
        with opener.open(url, timeout=TIMEOUT):
            return {"url": url, "error": None}
    except urllib.error.HTTPError as error:
        return {"url": url, "error": f"HTTP {error.code}"}
    except (OSError, ValueError) as error:
        return {"url": url, "error": str(getattr(error, "reason", error))}
