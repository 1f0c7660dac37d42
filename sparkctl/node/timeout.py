"""A read with a time-out of its own, so that a dead mount, for example, blocks nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def begin(read: Callable[[], T]) -> Callable[[float], T]:
    """Begin to read; the function returned waits for it, up to that many seconds.

    It gives what `read` returns or raises, TimeoutError when it takes longer; `read` then stays in
    a daemon thread: nothing can end a read that hangs in the kernel.
    """
    returned: list[T] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            returned.append(read())
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait(seconds: float) -> T:
        thread.join(seconds)
        if raised:
            raise raised[0]
        if not returned:
            raise TimeoutError(f"no answer within {seconds:g} s")
        return returned[0]

    return wait


def bounded(read: Callable[[], T], seconds: float) -> T:
    """What `read` returns or raises; TimeoutError when it takes longer than `seconds`."""
    return begin(read)(seconds)
