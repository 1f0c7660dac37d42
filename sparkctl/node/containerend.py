"""Removing a cluster's containers: what stays of one whose processes have ended."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sparkctl.node import containertools, state
from sparkctl.node.containertools import CLUSTER, TOOLS, UNIT, USER
from sparkctl.node.subprocesses import start
from sparkctl.node.unitid import kind_of
from sparkctl.node.units import CONTAINER

if TYPE_CHECKING:
    from collections.abc import Collection

LOOK = 10.0  # seconds for a list
GLANCE = 3.0  # the same of an engine that nothing says was used
END = 40.0  # seconds for a removal, which ends what still runs in it
# What the engines say of a container that somebody else removes, as `--rm` does.
GONE = ("already in progress", "no such container")


def remove(cluster: str, units: Collection[str] | None = None, tool: str = "") -> list[str]:
    """Remove this login's containers of the cluster, or only of these units; gives their Ids.

    Their volumes without a name go too. Ends the call with a message when `tool`, or one that has
    started some of them, does not answer.
    """
    recorded = state.read(cluster)["units"]
    chosen = [u for u in recorded if kind_of(u) == CONTAINER and (units is None or u in units)]
    starters = {tool, *(_tool(recorded[unit]) for unit in chosen)}
    removed = []
    for name in TOOLS:
        if name not in starters and (units is not None or not containertools.may_have(name)):
            continue
        try:
            found = _found(name, cluster, units, LOOK if name in starters else GLANCE)
            for each in found:
                _remove(name, each)
        except OSError as error:
            if name in starters:
                sys.exit(f"cannot remove the cluster's containers: {error}")
            continue
        removed += found
    return removed


def _tool(entry: Any) -> str:
    """The container engine that started a unit."""
    try:
        return str(entry["unit"]["program"]["argv"][0])
    except (KeyError, IndexError, TypeError):
        return ""


def _remove(tool: str, container: str) -> None:
    ended = start([tool, "rm", "--force", "--volumes", container]).wait(END)
    if ended.status and not any(word in ended.err.lower() for word in GONE):
        raise OSError(f"{tool} rm: {ended.last}")


def _found(tool: str, cluster: str, units: Collection[str] | None, seconds: float) -> list[str]:
    """The Ids by label and name: docker-commit(1) keeps the labels of one in an image."""
    labels = [f"{CLUSTER}={cluster}", f"{USER}={os.getuid()}"]
    chosen = [[]] if units is None else [[f"{UNIT}={unit}"] for unit in units]
    found: dict[str, None] = {}
    for more in chosen:
        filters = [word for label in (*labels, *more) for word in ("--filter", f"label={label}")]
        form = "{{.ID}} {{.Names}}"
        listed = start([tool, "ps", "--all", "--no-trunc", "--format", form, *filters])
        for line in listed.finish(seconds).splitlines():
            identity, _, name = line.partition(" ")
            if name.startswith(f"sparkctl.{cluster}."):
                found[identity] = None
    return [*found]
