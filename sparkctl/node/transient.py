"""Containers that run one program: nothing of them stays, also when that hangs."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.node import containertools
from sparkctl.node.subprocesses import start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.node.boxwire import Transient
    from sparkctl.node.subprocesses import Ended
    from sparkctl.node.wire import Answer

REMOVAL = 60  # seconds for a removal; a daemon that hangs delays it
WAIT = 2.0  # of these for which it is waited


def run(argv: Sequence[str], stdin: str, seconds: float, container: str) -> Ended:
    """How a container engine's command line ends, which starts this container; raises OSError as
    Started.wait does. The container is removed unless its program succeeds: the end of the command
    alone does not end it.
    """
    program, is_done = start(argv, stdin=stdin), False
    try:
        ended = program.wait(seconds)
        is_done = ended.status == 0
    finally:
        if not is_done:
            remove({"tool": argv[0], "container": container})
    return ended


def remove(request: Transient) -> Answer:
    """Remove a container, whatever runs in it; in the background if that takes long."""
    argv = containertools.remove(request["tool"], request["container"])
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.Popen(
            ["timeout", "--signal=KILL", f"{REMOVAL}", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ).wait(WAIT)
    return {}
