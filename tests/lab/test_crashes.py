"""kill -9 of `up` and `down` at each call that changes a node: another user of the laptop, in
another folder, then brings the cluster up or down. A gang of the toy engine stands for the model.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from tests.lab.cluster import unlocked
from tests.lab.crashes import crash, left, points
from tests.lab.toycluster import completed, install, ranks, remove, toy_cluster
from tests.lab.users import other_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab]
AT_ONCE = 3  # clusters on the lab's nodes: most of the time a command waits
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
def slots(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Slot]]:
    folder = tmp_path_factory.mktemp("crashes")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)  # for the other user
    install(lab)
    made = []
    for number in range(1, AT_ONCE + 1):
        own = toy_cluster(lab, folder, number)
        made.append(Slot(number, own, other_user(own, folder / f"user{number}")))
    yield made
    for slot in made:
        slot.own.run("down", BREAK)
    remove(lab)


@pytest.fixture(autouse=True)
def clean(cluster: Cluster) -> Iterator[None]:
    assert cluster.traces() == {}
    yield
    assert cluster.traces() == {}


@pytest.fixture(scope="module")
def passed(slots: list[Slot], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """The points of an `up` and of the `down` after it where they are killed: after each call, and
    before the first.
    """
    slot, folder = slots[0], tmp_path_factory.mktemp("points")
    found = {}
    for command in ("up", "down"):
        lines = points(slot.own, folder / command, command)
        found[command] = [n for n, line in enumerate(lines, 1) if n == 1 or line[:5] == "after"]
    slot.assert_gone()
    return found


def spread(slots: list[Slot], numbers: Sequence[int], case: Callable[[Slot, int], None]) -> None:
    """Run the case for each number, as many at once as there are slots. Raises what failed first,
    with its number.
    """
    free: SimpleQueue[Slot] = SimpleQueue()
    for slot in slots:
        free.put(slot)

    def one(number: int) -> tuple[int, Exception | None]:
        slot = free.get()
        try:
            case(slot, number)
        except Exception as error:
            slot.own.run("down", BREAK)
            return number, error
        finally:
            free.put(slot)
        return number, None

    with ThreadPoolExecutor(len(slots)) as pool:
        failed = {number: error for number, error in pool.map(one, numbers) if error}
    assert not failed, "\n".join(f"killed at {n}: {error}" for n, error in failed.items())


def test_down_after_up_was_killed_leaves_nothing(
    slots: list[Slot], passed: dict[str, list[int]]
) -> None:
    def case(slot: Slot, number: int) -> None:
        crash(slot.own, number, "up")
        slot.other.run("down", BREAK)
        slot.assert_gone()

    spread(slots, passed["up"], case)


def test_up_after_up_was_killed_serves_and_down_after_down_leaves_nothing(
    slots: list[Slot], passed: dict[str, list[int]]
) -> None:
    def case(slot: Slot, number: int) -> None:
        crash(slot.own, number, "up")
        slot.other.up(BREAK)
        slot.assert_served()
        again = passed["down"][number % len(passed["down"])]
        crash(slot.other, again, "down")
        slot.own.run("down", BREAK)
        slot.assert_gone()

    spread(slots, passed["up"], case)


def test_up_after_down_was_killed_serves(slots: list[Slot], passed: dict[str, list[int]]) -> None:
    def case(slot: Slot, number: int) -> None:
        slot.own.up()
        crash(slot.own, number, "down")
        slot.other.up(BREAK)
        slot.assert_served()
        slot.own.run("down")
        slot.assert_gone()

    spread(slots, passed["down"], case)


def test_the_lease_of_a_killed_up_expires(slots: list[Slot], passed: dict[str, list[int]]) -> None:
    slot = slots[0]
    crash(slot.own, passed["up"][len(passed["up"]) // 2], "up")
    unlocked(slot.other, "up")
    slot.assert_served()
    slot.own.run("down")
    slot.assert_gone()
