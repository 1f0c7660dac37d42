"""Faults of a serving cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab.faults.fault import HEAD, Fault
from sparkctl.lab.faults.needs import missing, serving_hint
from sparkctl.lab.faults.rayjoin import CLUSTER, join

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target


def _mark(target: Target) -> str:
    """The value of CLUSTER in the environment of the node's raylet."""
    pid = target.run("pgrep", "-x", "raylet").split()[0]
    lines = target.run("tr", "\\0", "\\n", text=target.read(f"/proc/{pid}/environ")).splitlines()
    found = [line.partition("=")[2] for line in lines if line.startswith(f"{CLUSTER}=")]
    if not found:
        raise missing(target, "`sparkctl up` did not start its Ray", serving_hint(target))
    return found[0]


def _ray_on_management(target: Target) -> None:
    """`ray start` does this without an address; healing makes it join over the fabric again."""
    mark = _mark(target)
    target.on_heal("rejoin-ray", mark=mark)
    join(target.lab, target.running, mark, target.node.address)


def _stop_engine(target: Target) -> None:
    """Stops the process between the API and the ranks; the API still answers."""
    try:
        pids = target.run("pgrep", "-f", "^VLLM::EngineCore").split()
    except SparkctlError:
        raise missing(target, "no vLLM engine is running", serving_hint(target)) from None
    target.change(["kill", "-STOP", *pids], "continue", pids=[int(pid) for pid in pids])
    for pid in pids:
        target.until(f"grep -q '^State:.T' /proc/{pid}/status")


FAULTS = (
    Fault(
        "ray-on-management",
        "Ray joined over the management network, which ends vLLM (`up` after healing)",
        _ray_on_management,
        touches=("ray",),
        needs="serving",
    ),
    Fault(
        "api-wedged",
        "the engine is suspended (SIGSTOP): the API answers 200 and generates nothing",
        _stop_engine,
        touches=("vllm",),
        node=HEAD,
        needs="serving",
    ),
)
