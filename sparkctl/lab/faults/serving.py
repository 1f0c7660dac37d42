"""Faults of a serving cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.inventory import load
from sparkctl.engines.vllm.commandline import ray_worker_argv
from sparkctl.errors import SparkctlError
from sparkctl.lab.faults.fault import HEAD, Fault
from sparkctl.lab.faults.needs import missing, serving_hint
from sparkctl.lab.faults.target import Target, until
from sparkctl.lab.spec import CABLED
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from sparkctl.remote.command import Command

RAY_TIMEOUT = 60.0  # seconds for `ray start`, which takes ten on a busy machine
GRACE = 10.0  # seconds for raylet to end after SIGTERM
CLUSTER = "SPARKCTL_CLUSTER"


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
    inventory, node, head = load(target.lab.inventory), target.node, target.lab.nodes[0]
    mark, fabric = _mark(target), CABLED[0]

    def start(address: str) -> Command:
        request = {
            "cluster": inventory.cluster,
            "argv": ray_worker_argv(inventory, address, head.fabric_address(fabric)),
            "env": {CLUSTER: mark, "SPARKCTL_ROLE": "ray"},
            "unit": "ray",
            "run": mark.partition("/")[2],
            "timeout": RAY_TIMEOUT,
        }
        return node_rpc.call("launch.run", request)

    def joined(address: str) -> str:
        # The brackets keep the shell that runs pgrep from matching itself.
        return f"pgrep -f '[r]aylet.*--node_ip_address={address}' >/dev/null"

    stop = node_rpc.call(
        "stop.stop", {"cluster": inventory.cluster, "roles": ["ray"], "grace": GRACE}
    )
    own = node.fabric_address(fabric)
    target.on_heal(*until(joined(own)))
    target.on_heal(*start(own).argv, text=_text(start(own)))
    target.on_heal(*stop.argv, text=_text(stop))
    for command in (stop, start(node.address)):
        target.run(*command.argv, text=_text(command))
    target.until(joined(node.address))


def _text(command: Command) -> str:
    return command.stdin.decode()


def _stop_engine(target: Target) -> None:
    """Stops the process between the API and the ranks; the API still answers."""
    try:
        pids = target.run("pgrep", "-f", "^VLLM::EngineCore").split()
    except SparkctlError:
        raise missing(target, "no vLLM engine is running", serving_hint(target)) from None
    target.change(["kill", "-STOP", *pids], ["kill", "-CONT", *pids])
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
