"""The same work on many items at once."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from sparkctl.errors import SparkctlError
from sparkctl.remote.fanout import GroupResult, each


def test_results_and_errors_are_kept_in_the_items_order() -> None:
    third_done = threading.Event()

    def work(item: int) -> int:
        if item == 3:
            third_done.set()
        assert third_done.wait(5), "the items do not run at once"
        if item == 2:
            raise SparkctlError("two is out")
        return item * 10

    result = each([1, 2, 3, 4], work, key=str)
    assert list(result.ok.items()) == [("1", 10), ("3", 30), ("4", 40)]
    assert [str(e) for e in result.failed.values()] == ["two is out"]


def test_nothing_to_do() -> None:
    assert each([], str, key=str) == GroupResult()


def test_a_bug_is_raised_with_whose_it_is_and_the_rest_is_given_back() -> None:
    given_back: list[int] = []

    def work(item: int) -> int:
        return 10 // item

    with pytest.raises(ZeroDivisionError) as caught:
        each([5, 0, 2], work, key=lambda n: f"node-{n}", abandoned=given_back.append)
    assert caught.value.__notes__ == ["while working on node-0"]
    assert sorted(given_back) == [2, 5]


def test_ctrl_c_does_not_wait_and_gives_back_what_comes_later() -> None:
    release, given_back = threading.Event(), threading.Semaphore(0)

    def work(item: str) -> str:
        if item == "slow":
            os.kill(os.getpid(), signal.SIGINT)
            release.wait(10)
        return item

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        each(["fast", "slow"], work, key=str, abandoned=lambda _: given_back.release())
    assert time.monotonic() - start < 5
    release.set()
    assert all(given_back.acquire(timeout=5) for _ in range(2))
