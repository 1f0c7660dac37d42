"""The units of a sparkctl that had none, by the command lines that it recorded; pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sparkctl.engines.vllm.launcher import GRACE
from sparkctl.engines.vllm.ray import GCS, RAY
from sparkctl.engines.vllm.tls import address, local_host
from sparkctl.node.unitid import kind_of, node_of
from sparkctl.node.units import Generates, Listens, LogStages, Program, RayNodes, Stop, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN_PORT = "8000"  # vLLM's default
STALL = 1800.0


def unit(name: str, argv: Sequence[str]) -> Unit:
    """The unit with this id that was started with this command line: how it is asked and stopped.

    It has no needs: its kind is in its id.
    """
    kind, node = kind_of(name), node_of(name)
    head = "--head" in argv
    ray = _ray_head(argv) if head else None
    return Unit(
        id=name,
        node=node,
        kind=kind,
        title=("Ray head" if head else "Ray worker") if kind == RAY else "vLLM",
        group=name,
        program=Program(tuple(argv)),
        reachable=ray[0] if ray else None,
        ready=(ray[1],) if ray else () if kind == RAY else _serve(argv),
        stop=Stop(GRACE, last=(GCS,) if head else ()),
    )


def _ray_head(argv: Sequence[str]) -> tuple[Listens, RayNodes]:
    given = dict(pairwise(argv))
    host, port = given.get("--node-ip-address", "127.0.0.1"), given.get("--port", "6379")
    folder = argv[0].rpartition("/")[0]
    python = f"{folder}/python" if folder else "python3"
    return Listens(host, int(port)), RayNodes(f"{host}:{port}", python, {}, 0.0)


def _serve(argv: Sequence[str]) -> tuple[LogStages, Generates]:
    return LogStages("vllm", STALL), Generates(base(argv), model(argv))


def base(argv: Sequence[str]) -> str:
    """The API's URL on the node itself, for the command line that a vLLM was started with."""
    given = dict(pairwise(argv))
    secure = "--ssl-certfile" in given or "--ssl-keyfile" in given
    host = local_host(given.get("--host", ""))
    return address(host, given.get("--port", OWN_PORT), secure=secure)


def model(argv: Sequence[str]) -> str:
    """The name that the API gives the model of this command line; empty where it has none."""
    named = dict(pairwise(argv)).get("--served-model-name", "")
    return named or next((part for before, part in pairwise(argv) if before == "serve"), "")
