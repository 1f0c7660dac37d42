"""One caller at a time in a directory that goes when nothing is in it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sparkctl.node import guard

if TYPE_CHECKING:
    from pathlib import Path


def test_who_waited_gets_the_lock_though_the_directory_went_meanwhile(tmp_path: Path) -> None:
    base, taken = tmp_path / "state" / "c", []

    def take() -> None:
        for _ in range(200):
            with guard.hold(base, "lease.lock"):
                taken.append(threading.get_ident())

    base.mkdir(parents=True)
    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 800
    assert not base.parent.exists()
