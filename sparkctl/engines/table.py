"""All engines, by the name that `engine` has in the inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.sglang.engine import SGLANG
from sparkctl.engines.vllm.engine import VLLM

if TYPE_CHECKING:
    from sparkctl.engines.engine import Engine
    from sparkctl.inventory.models import Service

ENGINES: dict[str, Engine] = {"vllm": VLLM, "sglang": SGLANG}


def engine_of(settings: Service) -> Engine:
    """The row of a service's engine and executor."""
    row = ENGINES[settings.engine]
    return row.over.get(settings.executor, row)
