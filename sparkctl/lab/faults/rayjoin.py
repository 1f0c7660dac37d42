"""Making a node's Ray join its cluster over another network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.scripts import sh
from sparkctl.lab.faults.waiting import until
from sparkctl.lab.spec import CABLED
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from sparkctl.lab.existing import Lab
    from sparkctl.lab.running import RunningNode
    from sparkctl.remote.command import Command

RAY_TIMEOUT = 60.0  # seconds for `ray start`, which takes ten on a busy machine
GRACE = 10.0  # seconds for raylet to end after SIGTERM
CLUSTER = "SPARKCTL_CLUSTER"


def join(lab: Lab, node: RunningNode, mark: str, address: str) -> None:
    """End the node's Ray, start it with this address, and wait until it has that.

    `mark` is the value of CLUSTER in the environment of what was started with it.
    """
    # The table of faults, which a shell's completion reads, needs neither.
    from sparkctl.engines.inventory import load
    from sparkctl.engines.vllm.commandline import ray_worker_argv

    inventory, head = load(lab.inventory), lab.nodes[0]
    view = inventory.view_for(inventory.node(node.node.name))
    stop = {"cluster": inventory.cluster, "roles": ["ray"], "grace": GRACE}
    start = {
        "cluster": inventory.cluster,
        "argv": ray_worker_argv(inventory, address, head.fabric_address(CABLED[0])),
        "env": {},
        "unit": f"{view.service}/0/ray/{node.node.name}",
        "run": mark.partition("/")[2],
        "timeout": RAY_TIMEOUT,
    }
    _call(node, node_rpc.call("stop.stop", stop))
    _call(node, node_rpc.call("launch.run", start))
    node.run(*until(_joined(address)))


def rejoin(lab: Lab, node: RunningNode, mark: str) -> None:
    """Have the node's Ray join over the fabric, unless `sparkctl up` has restarted it so."""
    address = node.node.fabric_address(CABLED[0])
    if not node.run(*sh(f"if {_joined(address)}; then echo joined; fi")):
        join(lab, node, mark, address)


def _joined(address: str) -> str:
    """A test in sh; the brackets keep the shell that runs pgrep from matching itself."""
    return f"pgrep -f '[r]aylet.*--node_ip_address={address}' >/dev/null"


def _call(node: RunningNode, command: Command) -> None:
    node.run(*command.argv, text=command.stdin.decode())
