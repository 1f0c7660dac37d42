"""Stands in for SGLang's kernels, which PyPI has for GPUs alone: imports work, calls fail.

SGLang 0.5.23 on a CPU calls none with the arguments that the tests' inventory has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def __getattr__(name: str) -> Callable[..., object]:
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*_: object, **__: object) -> object:
        raise NotImplementedError(f"the lab's SGLang has no kernel {name}")

    return missing
