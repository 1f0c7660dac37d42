"""kill -9 of `up` and `down` at each call that changes a node: another user of the laptop, in
another folder, then brings the cluster up or down. A gang of the toy engine stands for the model.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from tests.lab.cluster import unlocked
from tests.lab.crashes import crash, left, points
from tests.lab.toycluster import completed, ranks, toy_cluster
from tests.lab.users import other_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("clean")]
AT_ONCE = 3  # clusters on the lab's nodes: most of the time a command waits
UP = ("up", "--ignore-check", "runtime.imports")  # of vLLM, for seconds
BREAK = "--break-lock"  # the dead one's lease holds for 30 s


@dataclass(frozen=True)
class Slot:
    """A cluster on the lab that one crash after the other uses; `other` is another user's view."""

    number: int
    own: Cluster
    other: Cluster

    def assert_served(self) -> None:
        """One gang serves."""
        assert [len(pids) for pids in ranks(self.own, self.number).values()] == [1, 1]
        assert completed(self.own.lab, self.number) == 2

    def assert_gone(self) -> None:
        """Nothing of the cluster is left."""
        assert not any(ranks(self.own, self.number).values())
        assert left(self.own, f"toy{self.number}") == {}


@pytest.fixture(scope="module")
def slots(lab: Lab, toys: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Slot]]:
    folder = tmp_path_factory.mktemp("crashes")
    with ExitStack() as users:
        made = []
        for number in range(1, AT_ONCE + 1):
            own = toy_cluster(lab, folder, number)
            made.append(Slot(number, own, users.enter_context(other_user(own))))
        yield made
        for slot in made:
            slot.own.run("down", BREAK)


@pytest.fixture(scope="module")
def passed(slots: list[Slot], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """The points of an `up` and of the `down` after it where they are killed: after each call, and
    before the first.
    """
    slot, folder = slots[0], tmp_path_factory.mktemp("points")
    found = {}
    for command in (UP, ("down",)):
        lines = points(slot.own, folder / command[0], *command)
        found[command[0]] = [n for n, line in enumerate(lines, 1) if n == 1 or line[:5] == "after"]
    slot.assert_gone()
    return found


def spread(slots: list[Slot], count: int, case: Callable[[Slot, int], None]) -> None:
    """Run the case for each index below `count`, as many at once as there are slots.

    Raises AssertionError with what failed, by index.
    """
    free: SimpleQueue[Slot] = SimpleQueue()
    for slot in slots:
        free.put(slot)

    def one(index: int) -> tuple[int, Exception | None]:
        slot = free.get()
        try:
            case(slot, index)
        except Exception as error:
            slot.own.run("down", BREAK)
            return index, error
        finally:
            free.put(slot)
        return index, None

    with ThreadPoolExecutor(len(slots)) as pool:
        failed = {index: error for index, error in pool.map(one, range(count)) if error}
    assert not failed, "\n".join(f"case {index}: {error}" for index, error in failed.items())


def test_down_after_up_was_killed_leaves_nothing(
    slots: list[Slot], passed: dict[str, list[int]]
) -> None:
    def case(slot: Slot, index: int) -> None:
        crash(slot.own, passed["up"][index], *UP)
        if index == len(passed["up"]) // 2:
            unlocked(slot.other, "down")  # once as a user without --break-lock: the lease expires
        else:
            slot.other.run("down", BREAK)
        slot.assert_gone()

    spread(slots, len(passed["up"]), case)


def test_up_after_a_killed_command_serves_and_down_after_a_killed_down_leaves_nothing(
    slots: list[Slot], passed: dict[str, list[int]]
) -> None:
    ups, downs = passed["up"], passed["down"]

    def case(slot: Slot, index: int) -> None:
        crash(slot.own, ups[index % len(ups)], *UP)
        slot.other.run(*UP, BREAK)
        slot.assert_served()
        crash(slot.other, downs[index % len(downs)], "down")
        if index % 2:
            slot.own.run(*UP, BREAK)
            slot.assert_served()
        slot.own.run("down", BREAK)
        slot.assert_gone()

    spread(slots, max(len(ups), len(downs)), case)
