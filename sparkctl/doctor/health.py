"""vLLM's API as the controller reaches it, to tell a server that is down from a firewall."""

from __future__ import annotations

import urllib.error
import urllib.request

from sparkctl.doctor.looks import Api
from sparkctl.node.completion import unverified

TIMEOUT = 5.0  # seconds


def health(base: str) -> Api:
    """Whether the API at `base` answers /health with 200.

    No API key is sent, so a certificate that this machine cannot verify is accepted.
    """
    url = f"{base}/health"
    # The controller's proxy must not answer instead of the node.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified())
    )
    try:
        with opener.open(url, timeout=TIMEOUT):
            return Api(url, None)
    except urllib.error.HTTPError as error:
        return Api(url, f"HTTP {error.code}")
    except (OSError, ValueError) as error:
        return Api(url, str(getattr(error, "reason", error)))
