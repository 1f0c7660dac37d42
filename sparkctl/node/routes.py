"""Which way a node's packets to an address take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sparkctl.node.subprocesses import Started, start

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.node.peerwire import Route
    from sparkctl.node.wire import Json

SECONDS = 2.0


def routes(addresses: Collection[str]) -> dict[str, Route]:
    """By address: the `interface` and the `gateway` (null on a link) of its route, or the `problem`
    if there is none; `neighbour` is the kernel's state of the next hop (ip-neighbour(8)), such as
    REACHABLE or FAILED, null if it has none.
    """
    if not addresses:
        return {}
    asked = {a: start(["ip", "-json", "route", "get", a]) for a in addresses}
    states = _neighbours(start(["ip", "-json", "-4", "neighbour", "show"]))
    return {address: _route(address, program, states) for address, program in asked.items()}


def _route(address: str, program: Started, states: dict[tuple[str, str], str]) -> Route:
    try:
        first, *_ = json.loads(program.finish(SECONDS))
        interface, gateway = str(first["dev"]), first.get("gateway")
    except ChildProcessError as error:  # `ip` says that there is none
        return {"interface": None, "gateway": None, "problem": str(error), "neighbour": None}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {"interface": None, "gateway": None, "problem": None, "neighbour": None}
    hop = str(gateway) if gateway else address
    return {
        "interface": interface,
        "gateway": str(gateway) if gateway else None,
        "problem": None,
        "neighbour": states.get((interface, hop)),
    }


def _neighbours(program: Started) -> dict[tuple[str, str], str]:
    """The state of each neighbour, by interface and address."""
    try:
        shown: Json = json.loads(program.finish(SECONDS) or "[]")
    except (OSError, ValueError):
        return {}
    found = {}
    for row in shown if isinstance(shown, list) else ():
        if isinstance(row, dict) and isinstance(state := row.get("state"), list) and state:
            found[str(row.get("dev")), str(row.get("dst"))] = str(state[0])
    return found
