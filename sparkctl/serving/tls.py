"""vLLM's API by http or https: its address, and which ssl-* arguments cannot work; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.inventory.models import Argument, Vllm

FILES = ("ssl-keyfile", "ssl-certfile", "ssl-ca-certs")
CLIENT_CERTIFICATE = "2"  # ssl.CERT_REQUIRED


def api_base(vllm: Vllm, host: str) -> str:
    """The API's address at a host, without a path.

    It is https with a key or a certificate (uvicorn's config.py, is_ssl, which vLLM serves by).
    """
    secure = vllm.arguments.get("ssl-certfile") or vllm.arguments.get("ssl-keyfile")
    return address(host, vllm.port, secure=bool(secure))


def address(host: str, port: int | str, *, secure: bool) -> str:
    """The URL of a host and port, without a path."""
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{name}:{port}"


def problems(arguments: Mapping[str, Argument]) -> Iterator[tuple[str, str]]:
    """The names of ssl-* arguments with which vLLM would not start or not be reached, and why."""
    if arguments.get("ssl-keyfile") and not arguments.get("ssl-certfile"):
        yield "ssl-keyfile", "it needs ssl-certfile, or vLLM does not start"
    if str(arguments.get("ssl-cert-reqs")) == CLIENT_CERTIFICATE:
        yield (
            "ssl-cert-reqs",
            ("expected 0 or 1, got 2; sparkctl has no client certificate to check vLLM with"),
        )
    for name in FILES:
        value = arguments.get(name)
        if value and not (isinstance(value, str) and value.startswith("/")):
            # vLLM expands no ~, and runs in sparkctl's own folder, which `down` removes.
            yield name, "expected an absolute path of a file on the head"
