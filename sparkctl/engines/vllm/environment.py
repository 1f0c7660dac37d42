"""The environment of a node, from layers; pure.

The last layer wins: built-in, env layers in their order, the inventory's env.set, the node's env.
Values may refer to ${FABRIC_ADDRESS}, ${SOCKET_INTERFACE}, ${HCAS} and ${NODE}; loading refuses any
other reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.setting import Setting
from sparkctl.engines.vllm.secretarguments import API_KEY, variables
from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME, takes_more
from sparkctl.facts.unread import Unread
from sparkctl.inventory.layers import REFERENCE, Layer
from sparkctl.secret.value import protected_text, revealed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sparkctl.fabric.selection import FabricChoice
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory, Node

# The recipe for a pair, so that a cluster serves without any layer. What the names mean to NCCL
# and Gloo: fabric/hca.py. In vLLM 0.22.1 and later a node's own value wins over the one that the
# driver copies to Ray's workers, so each node may have its own NCCL_IB_HCA.
BUILT_IN: dict[str, str] = {
    # One literal interface for Gloo and vLLM's own TCP, the same for NCCL's bootstrap and UCX.
    "NCCL_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "GLOO_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "TP_SOCKET_IFNAME": "${SOCKET_INTERFACE}",
    "UCX_NET_DEVICES": "${SOCKET_INTERFACE}",
    # Both halves of one cable: two PCI devices, which NCCL never merges (src/transport/net_ib).
    "NCCL_IB_HCA": "${HCAS}",
    "NCCL_IB_DISABLE": "0",
    "NCCL_IGNORE_CPU_AFFINITY": "1",
    # Each node's own: vLLM does not copy it to the workers.
    "VLLM_HOST_IP": "${FABRIC_ADDRESS}",
    # Ray would give vLLM's actors 1.
    "OMP_NUM_THREADS": "8",
    # torch enables it only at 1 (vLLM 0.14 to 0.33, compared).
    "TORCHINDUCTOR_MAX_AUTOTUNE": "0",
    # On unified memory Ray's monitor would kill workers for the GPU's memory.
    "RAY_memory_monitor_refresh_ms": "0",
    # Readable logs.
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    # Without internet access a node would wait for each of these to time out.
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    # vLLM's 600 s are too short for a first boot, which compiles kernels.
    "VLLM_ENGINE_READY_TIMEOUT_S": "7200",
}
BUILT_IN_LAYER = "built-in"


def merge(inventory: Inventory, node: Node, layers: list[Layer]) -> dict[str, Setting]:
    """A node's settings by name, each from the last layer that has it, with references unresolved.

    vLLM's secret arguments come last: as in vLLM itself (0.32,
    vllm/entrypoints/serve/middleware/register.py), an argument wins over its variable.
    """
    merged: dict[str, Setting] = {}
    for layer in (
        Layer(BUILT_IN_LAYER, dict(BUILT_IN)),
        *layers,
        Layer("inventory", dict(inventory.env.set)),
        Layer(f"node {node.name}", dict(node.env)),
    ):
        for name, value in layer.values.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = Setting(protected_text(value, name), layer.name)
    return dict(sorted({**merged, **_by_argument(inventory, node)}.items()))


def _by_argument(inventory: Inventory, node: Node) -> dict[str, Setting]:
    """The variables that replace arguments of vLLM; only the head gets the API key."""
    return {
        name: Setting(value, f"{inventory.key}.arguments", literal=True)
        for name, value in variables(inventory.vllm.arguments).items()
        if name != API_KEY or node.role == "head"
    }


def render(
    inventory: Inventory,
    node: Node,
    choice: FabricChoice | None,
    layers: list[Layer],
    facts: NodeFacts | None = None,
) -> dict[str, Setting]:
    """The effective environment of a node, by name.

    Without a choice, settings that refer to the fabric are left out. NCCL takes names as prefixes:
    where one would take another of the node's devices by `facts`, the built-in value begins with =.
    """
    known = {"NODE": node.name}
    if choice is not None:
        known |= {
            "FABRIC_ADDRESS": choice.address,
            "SOCKET_INTERFACE": choice.interfaces[0],
            "HCAS": ",".join(choice.hcas),
        }
    exact = {*_exact(choice, facts)} if choice and facts else set()
    return {
        name: Setting(_resolve(name, setting, known, exact), setting.layer)
        for name, setting in merge(inventory, node, layers).items()
        if choice is not None or not _of_fabric(setting)
        # Without HCAs the list is empty, and an empty list selects every device.
        if choice is None or choice.hcas or setting.value != "${HCAS}"
    }


def _exact(choice: FabricChoice, facts: NodeFacts) -> Iterator[str]:
    """The variables of NCCL whose built-in value would take other devices of the node too."""
    for variable, names, every in (
        (SOCKET_IFNAME, choice.interfaces[:1], facts.net),
        (IB_HCA, choice.hcas, facts.ib),
    ):
        if names and not isinstance(every, Unread) and takes_more(names, every):
            yield variable


def _references(setting: Setting) -> list[str]:
    """The names that a value refers to; an argument of vLLM is literal."""
    if setting.literal:
        return []
    return [m[1] for m in REFERENCE.finditer(revealed(setting.value))]


def _of_fabric(setting: Setting) -> bool:
    return any(name != "NODE" for name in _references(setting))


def _resolve(name: str, setting: Setting, known: Mapping[str, str], exact: Collection[str]) -> str:
    if not _references(setting):
        return setting.value
    text = REFERENCE.sub(lambda match: known[match[1]], revealed(setting.value))
    whole = name in exact and setting.layer == BUILT_IN_LAYER
    return protected_text(f"={text}" if whole else text, name)
