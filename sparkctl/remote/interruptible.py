"""Work in a thread of its own, so that Ctrl-C finds the main thread in a wait that it may break.

Python raises KeyboardInterrupt in the main thread, between any two of its steps. Within paramiko
that can leave a lock held that every later call on the connection waits for: Transport's
_send_user_message takes clear_to_send_lock just before the `try` that gives it back (paramiko 4.0).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
NAME = "a call of its own"


def aside(work: Callable[[], T], *, abandoned: Callable[[T], None] | None = None) -> T:
    """What `work` gives, or its error; beside the main thread when that is the caller.

    After a Ctrl-C the work goes on, and `abandoned` gets its result.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    result = each([work], lambda call: call(), key=lambda _: NAME, abandoned=abandoned)
    for error in result.failed.values():
        raise error
    return result.ok[NAME]
