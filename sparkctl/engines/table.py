"""All engines, by the name that `engine` has in the inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm.engine import VLLM

if TYPE_CHECKING:
    from sparkctl.engines.engine import Engine

ENGINES: dict[str, Engine] = {"vllm": VLLM}
