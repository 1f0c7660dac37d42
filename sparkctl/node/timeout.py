"""A read with a time-out of its own: what hangs, a dead mount say, hides nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def bounded(read: Callable[[], Any], seconds: float) -> Any:
    """What `read` gives, or its exception; TimeoutError when it takes longer than `seconds`.

    It then stays behind in a daemon thread: a read that hangs in the kernel cannot be ended.
    """
    given: list[Any] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            given.append(read())
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not given:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return given[0]
