"""Work outside the main thread, so that Ctrl-C only interrupts a wait.

Python raises KeyboardInterrupt between any two steps of the main thread. Within paramiko that can
leave a lock held, on which every later call on the connection hangs: Transport's
_send_user_message takes clear_to_send_lock just before the `try` that releases it (paramiko 4.0).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
NAME = "call"


def aside(work: Callable[[], T], *, abandoned: Callable[[T], None] | None = None) -> T:
    """The result of `work`, or its error; in another thread if the caller is the main one.

    After Ctrl-C the work continues, and `abandoned` is called with its result.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    result = each([work], lambda call: call(), key=lambda _: NAME, abandoned=abandoned)
    for error in result.failed.values():
        raise error
    return result.ok[NAME]
