"""All engines, by the name that `engine` has in the inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.sglang.engine import SGLANG
from sparkctl.engines.vllm.engine import VLLM

if TYPE_CHECKING:
    from sparkctl.engines.engine import Engine
    from sparkctl.inventory.models import Inventory

ENGINES: dict[str, Engine] = {"vllm": VLLM, "sglang": SGLANG}


def engine_of(inventory: Inventory) -> Engine:
    """The engine of the (first) service."""
    return ENGINES[inventory.views[0].vllm.engine]
