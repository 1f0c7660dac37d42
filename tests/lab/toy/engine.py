"""The toy engine's row: two ranks (gang.py) that start, are ready and are replaced together."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sparkctl.node.units import Generates, Member, Program, Stop, Unit
from tests.lab.toy.gang import MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "/opt/toy/gang.py"  # on the nodes
KIND = "rank"


def units(view: Any, parts: Mapping[str, Any], runtime: Any) -> list[Unit]:
    """A unit for each of the two nodes of `view`, a service's part of the inventory.

    `parts` has each node's fabric address; `runtime` wraps the programs.
    """
    port = view.vllm.port
    head = view.head.name
    ordered = sorted(view.nodes, key=lambda node: bool(node.name != head))
    found = []
    for rank, node in enumerate(ordered):
        address = parts[head].choice.address
        argv = ("python3", PROGRAM, str(rank), address, str(port + 1), str(port))
        base = f"http://127.0.0.1:{port}"
        found.append(
            Unit(
                id=f"{view.service}/0/{KIND}/{node.name}",
                node=node.name,
                kind=KIND,
                title=f"toy rank {rank}",
                group=f"{view.service}/0",
                program=runtime.wrap(Program(argv, shown=argv), node),
                members=(Member(node.name, PROGRAM),),
                ready=() if rank else (Generates(base, MODEL),),
                stop=Stop(grace=5.0),
            )
        )
    return found


def row() -> Any:
    """The engine as a row of the table."""
    return import_module("sparkctl.engines.engine").Engine(units=units)
