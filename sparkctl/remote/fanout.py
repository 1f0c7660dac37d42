"""The same work on many nodes at once; each result or error is kept."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from sparkctl.errors import SparkctlError, combined
from sparkctl.interrupt import Postponed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Item = TypeVar("Item")
T = TypeVar("T")


_own = threading.local()  # `left`: of each `each` that this thread works for, set when it is left


@dataclass(frozen=True)
class GroupResult(Generic[T]):
    """Results and errors by name, in the items' order."""

    ok: dict[str, T] = field(default_factory=dict)
    failed: dict[str, SparkctlError] = field(default_factory=dict)


def is_left() -> bool:
    """Whether nobody waits any more for what this thread does."""
    return any(left.is_set() for left in _left())


def _left() -> tuple[threading.Event, ...]:
    found: tuple[threading.Event, ...] = getattr(_own, "left", ())
    return found


def check_all(result: GroupResult[T]) -> dict[str, T]:
    """Every result. Raises one error that has every failed item's."""
    if result.failed:
        raise combined(result.failed)
    return result.ok


def each(
    items: Sequence[Item],
    work: Callable[[Item], T],
    *,
    key: Callable[[Item], str],
    abandoned: Callable[[T], None] | None = None,
    meanwhile: Callable[[], object] | None = None,
    until_failure: bool = False,
) -> GroupResult[T]:
    """Run `work` on every item in its own thread, all at once, and `meanwhile` in this one.

    SparkctlErrors are kept per item; any other exception is a bug and is raised when all have
    ended, with a note that names the item. With `until_failure` the first of either is raised at
    once, as if Ctrl-C had ended the others. Ctrl-C does not wait for an item that hangs: its thread
    is a daemon, and `abandoned` is called with every result that is not returned, also later ones.
    What it has not yet sent to a node that would change it is not sent any more (is_left).
    """
    done: queue.SimpleQueue[tuple[int, T | BaseException]] = queue.SimpleQueue()
    left = threading.Event()
    lock = threading.Lock()
    outer = _left()

    def run(index: int, item: Item) -> None:
        _own.left = (*outer, left)
        try:
            result = work(item)
        except BaseException as error:  # raised again in the caller's thread
            done.put((index, error))
            return
        with lock:
            if not left.is_set():
                done.put((index, result))
                return
        if abandoned:
            abandoned(result)

    outcomes: dict[int, T | BaseException] = {}
    try:
        for index, item in enumerate(items):
            threading.Thread(target=run, args=(index, item), name=key(item), daemon=True).start()
        if meanwhile:
            meanwhile()
        Postponed.check()  # one that came during the imports of `meanwhile`
        while len(outcomes) < len(items):
            index, outcome = done.get()
            outcomes[index] = outcome
            if until_failure and isinstance(outcome, BaseException):
                raise outcome
        return _sorted([key(item) for item in items], outcomes)
    except BaseException:
        with lock:
            left.set()
        while not done.empty():
            index, outcome = done.get()
            outcomes[index] = outcome
        if abandoned:
            _abandon(outcomes.values(), abandoned)
        raise


def _abandon(outcomes: Iterable[T | BaseException], abandoned: Callable[[T], None]) -> None:
    for outcome in outcomes:
        if not isinstance(outcome, BaseException):
            abandoned(outcome)


def _sorted(names: list[str], outcomes: dict[int, T | BaseException]) -> GroupResult[T]:
    result: GroupResult[T] = GroupResult()
    for index, name in enumerate(names):
        outcome = outcomes[index]
        if isinstance(outcome, SparkctlError):
            result.failed[name] = outcome
        elif isinstance(outcome, BaseException):
            outcome.add_note(f"while working on {name}")
            raise outcome
        else:
            result.ok[name] = outcome
    return result
