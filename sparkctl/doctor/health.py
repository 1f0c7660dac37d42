"""vLLM's API as the controller sees it: tells a server that is down from one behind a firewall."""

from __future__ import annotations

import urllib.error
import urllib.request

from sparkctl.doctor.looks import Api
from sparkctl.node.completion import unverified

TIMEOUT = 5.0  # seconds


def health(base: str) -> Api:
    """Whether the API at `base` answers /health with 200.

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
            return Api(url, None)
    except urllib.error.HTTPError as error:
        return Api(url, f"HTTP {error.code}")
    except (OSError, ValueError) as error:
        return Api(url, str(getattr(error, "reason", error)))
