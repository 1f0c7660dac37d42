"""What a fault is; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.lab.faults.target import Target

HEAD, WORKER = "spark-1", "spark-2"
# What the node must have: the runtime with ray and vLLM, the model, a serving cluster.
Need = Literal["nothing", "runtime", "model", "serving"]

# A place that a fault changes. A folder contains its places: "rdma" conflicts with "rdma/rate".
INVENTORY = "inventory"


@dataclass(frozen=True)
class Fault:
    """What can go wrong on a node.

    `happens` describes it in one line; `touches` names the places that it changes, which no other
    active fault may change: places of the node, and INVENTORY, which is the lab's. `impossible` has
    the reason why a lab cannot have the fault, by the name of the lab's hardware.
    """

    name: str
    happens: str
    apply: Callable[[Target], None]
    touches: tuple[str, ...]
    node: str = WORKER
    needs: Need = "nothing"
    impossible: Mapping[str, str] = field(default_factory=dict, hash=False)

    def shared(self, other: Fault, *, same_node: bool) -> str | None:
        """A place that both change, so that they conflict; None if there is none."""
        for mine in self.touches:
            for theirs in other.touches:
                longer, shorter = sorted((mine, theirs), key=len, reverse=True)
                nested = f"{longer}/".startswith(f"{shorter}/")
                if nested and (same_node or shorter == INVENTORY):
                    return longer
        return None
