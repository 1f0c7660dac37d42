"""What a fault is; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.lab.faults.target import Target

HEAD, WORKER = "spark-1", "spark-2"
# What must be there: the runtime with ray and vLLM, the model, a cluster that serves.
Need = Literal["nothing", "runtime", "model", "serving"]

# Places that a fault changes. One that is another's folder holds it: "rdma" and "rdma/rate" meet.
INVENTORY = "inventory"


@dataclass(frozen=True)
class Fault:
    """A thing that happens to a node.

    `happens` is one line for people; `touches` names the places that it changes and another fault
    must leave alone meanwhile, all of one node but INVENTORY, which is the lab's.
    """

    name: str
    happens: str
    apply: Callable[[Target], None]
    touches: tuple[str, ...]
    node: str = WORKER
    needs: Need = "nothing"

    def shared(self, other: Fault, *, same_node: bool) -> str | None:
        """A place that both change, so that they cannot be active together; None without one."""
        for mine in self.touches:
            for theirs in other.touches:
                longer, shorter = sorted((mine, theirs), key=len, reverse=True)
                nested = f"{longer}/".startswith(f"{shorter}/")
                if nested and (same_node or shorter == INVENTORY):
                    return longer
        return None
