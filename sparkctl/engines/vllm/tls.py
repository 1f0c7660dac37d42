"""The address of vLLM's API, by http or https, and ssl-* arguments that cannot work; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm.arguments import problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.inventory.models import Argument, Vllm
    from sparkctl.inventory.paths import Problem

FILES = ("ssl-keyfile", "ssl-certfile", "ssl-ca-certs")
CLIENT_CERTIFICATE = "2"  # ssl.CERT_REQUIRED


def api_base(vllm: Vllm, host: str) -> str:
    """The API's URL at a host, without a path.

    It is https with a key or a certificate (is_ssl in the config.py of uvicorn, vLLM's server).
    """
    secure = vllm.arguments.get("ssl-certfile") or vllm.arguments.get("ssl-keyfile")
    return address(host, vllm.port, secure=bool(secure))


def local_base(vllm: Vllm) -> str:
    """The API's URL for a client on the head itself, without a path."""
    return api_base(vllm, local_host(vllm.host))


def local_host(host: str) -> str:
    """Where a server that listens on `host` is reached from its own node."""
    return "127.0.0.1" if host in ("0.0.0.0", "", "::") else host


def address(host: str, port: int | str, *, secure: bool) -> str:
    """The URL of a host and port, without a path."""
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{name}:{port}"


def problems(arguments: Mapping[str, Argument]) -> Iterator[Problem]:
    """The ssl-* arguments with which vLLM does not start or cannot be reached."""
    if arguments.get("ssl-keyfile") and not arguments.get("ssl-certfile"):
        text = "requires ssl-certfile; vLLM does not start without it"
        yield problem("missing-certificate", "ssl-keyfile", text)
    if str(arguments.get("ssl-cert-reqs")) == CLIENT_CERTIFICATE:
        text = "expected 0 or 1, got 2; sparkctl has no client certificate"
        yield problem("client-certificate", "ssl-cert-reqs", text)
    for name in FILES:
        value = arguments.get(name)
        if value and not (isinstance(value, str) and value.startswith("/")):
            # vLLM expands no ~, and runs in sparkctl's own folder, which `down` removes.
            yield problem("bad-path", name, "expected an absolute path of a file on the head")
