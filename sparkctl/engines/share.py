"""The share of a node's memory that an engine claims for weights and KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.inventory.models import Argument, Inventory


@dataclass(frozen=True)
class Share:
    """`flag` is the argument that sets it, `base` has sparkctl's default, `otherwise` is what the
    engine takes without the flag.
    """

    flag: str
    base: Mapping[str, Argument]
    otherwise: float

    def of(self, inventory: Inventory) -> float:
        """The share, from 0 to 1; `otherwise` for a value that the engine refuses."""
        value = {**self.base, **inventory.vllm.arguments}.get(self.flag)
        try:
            return self.otherwise if value is None else float(str(value))
        except ValueError:
            return self.otherwise
