"""The same thing on many nodes at once; each one's result or error is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sparkctl.errors import SparkctlError

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass
class GroupResult(Generic[T]):
    """Results and errors by name, in the items' order."""

    ok: dict[str, T] = field(default_factory=dict)
    failed: dict[str, SparkctlError] = field(default_factory=dict)


def each(
    items: Sequence[Item], work: Callable[[Item], T], *, key: Callable[[Item], str]
) -> GroupResult[T]:
    """Run `work` on every item in a thread of its own.

    SparkctlErrors are kept per item; any other exception is a bug and is raised.
    """
    result: GroupResult[T] = GroupResult()
    if not items:
        return result
    pool = ThreadPoolExecutor(max_workers=len(items), thread_name_prefix="node")
    try:
        futures = [(key(item), pool.submit(work, item)) for item in items]
        for name, future in futures:
            try:
                result.ok[name] = future.result()
            except SparkctlError as error:
                result.failed[name] = error
    finally:
        # Ctrl-C must not wait for a node that hangs; the connections are closed by their owner.
        pool.shutdown(wait=False, cancel_futures=True)
    return result
