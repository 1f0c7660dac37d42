"""The environment of SGLang on a node: vLLM's layers, with SGLang's names; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm import environment as vllm
from sparkctl.inventory.layers import Layer

if TYPE_CHECKING:
    from sparkctl.engines.setting import Setting
    from sparkctl.fabric.selection import FabricChoice
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory, Node

# Nothing is carried from the head to the others, so each node has all of it.
BUILT_IN: dict[str, str | None] = {
    **{name: None for name in vllm.BUILT_IN if name.startswith(("VLLM_", "RAY_"))},
    "OMP_NUM_THREADS": None,  # Ray alone would set it to 1
    "SGLANG_HOST_IP": "${FABRIC_ADDRESS}",
    # SGLang sets these two where they are unset (0.5.23, read and run).
    "NCCL_CUMEM_ENABLE": "0",
    "NCCL_NVLS_ENABLE": "0",
}


def render(
    inventory: Inventory,
    node: Node,
    choice: FabricChoice | None,
    layers: list[Layer],
    facts: NodeFacts | None = None,
) -> dict[str, Setting]:
    """The effective environment of a node, by name; see engines/vllm/environment.py."""
    own = Layer(vllm.BUILT_IN_LAYER, BUILT_IN)
    return vllm.render(inventory, node, choice, [own, *layers], facts)
