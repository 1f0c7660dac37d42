"""A run's undoing, and the end of its patience: what `--keep` and vllm.stall_timeout do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from sparkctl.cluster.run import Run, Step, locked, perform
from sparkctl.cluster.watch import watch_start
from sparkctl.errors import ServingError
from sparkctl.inventory.loader import parse
from sparkctl.report.reporter import Surviving
from tests.unit.test_inventory import GOOD


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, title: str) -> None:
        self.said.append(title)

    def stage(self, title: str, percent: int | None) -> None:
        self.said.append(title)

    note = step

    def close(self) -> None:
        pass


def pool(*under_way: threading.Event) -> SimpleNamespace:
    return SimpleNamespace(changing=lambda: [e for e in under_way if not e.is_set()])


def make(session: Any = None) -> tuple[Run, Told]:
    """A run with a reporter that remembers; nothing else of it is looked at."""
    told = Told()
    session = session or SimpleNamespace(pool=pool())
    return Run(session, None, None, told), told  # type: ignore[arg-type]  # see above


def steps(done: list[str], failure: BaseException) -> tuple[Step, ...]:
    """Two steps that can be undone, and one that fails."""

    def started(what: str) -> Step:
        def apply(run: Run) -> None:
            done.append(what)
            run.undo.append((what, lambda: done.append(f"undo {what}")))

        return Step(what, apply)

    def fail(_run: Run) -> None:
        raise failure

    return started("head"), started("worker"), Step("vLLM", fail), started("never")


@pytest.mark.parametrize("failure", [ServingError("x"), KeyboardInterrupt()])
def test_a_failure_undoes_in_reverse_and_is_raised_again(failure: BaseException) -> None:
    run, told = make()
    done: list[str] = []
    with pytest.raises(type(failure)):
        perform(run, steps(done, failure), keep=False)
    assert done == ["head", "worker", "undo worker", "undo head"]
    assert told.said[-1] == "what this run had started is undone"


def test_what_starts_after_its_end_was_looked_for_is_taken_back_too() -> None:
    call = threading.Event()
    run, told = make(SimpleNamespace(pool=pool(call)))
    nodes: list[str] = []

    def arrive() -> None:
        nodes.append("vLLM")
        call.set()

    def stop() -> None:
        nodes.clear()
        if not call.is_set():  # the start reaches the node just after it was looked at
            threading.Timer(0.05, arrive).start()

    def start(run: Run) -> None:
        run.undo.append(("stop vLLM", stop))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(run, (Step("start vLLM", start),), keep=False)
    assert call.is_set()
    assert nodes == []
    assert told.said.count("undo: stop vLLM") == 1


def test_a_second_ctrl_c_tells_what_ends_the_rest() -> None:
    run, told = make()

    def interrupted() -> None:
        raise KeyboardInterrupt

    run.undo.append(("stop Ray", interrupted))
    with pytest.raises(KeyboardInterrupt):
        perform(run, steps([], ServingError("x"))[2:3], keep=False)
    assert told.said[-1] == "the undoing was interrupted: `sparkctl down` ends what is left"


def test_ctrl_c_while_the_lock_is_taken_gives_it_back() -> None:
    asked: list[str] = []

    def ask(_node: Any, target: str, _request: Any, **_: Any) -> dict[str, Any]:
        asked.append(target)
        if target == "lock.take":
            raise KeyboardInterrupt
        return {}

    session: Any = SimpleNamespace(pool=pool(), ask=ask, inventory=parse(GOOD.encode(), "x"))
    with pytest.raises(KeyboardInterrupt), locked(session, "up"):
        raise AssertionError("not reached")
    assert asked == ["lock.take", "lock.release"]


def test_keep_leaves_what_was_started_and_says_so() -> None:
    run, told = make()
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        perform(run, steps(done, KeyboardInterrupt()), keep=True)
    assert done == ["head", "worker"]
    assert told.said[-1].startswith("--keep: ")


def watching(*events: dict[str, Any]) -> Run:
    """A run whose vLLM logs these events and then falls silent."""

    @contextmanager
    def stream(*_: Any, **__: Any) -> Iterator[Iterator[str | None]]:
        def lines() -> Iterator[str | None]:
            yield from (json.dumps(event) for event in events)
            while True:
                yield None

        yield lines()

    inventory = parse((GOOD + "  stall_timeout: 0.05\n").encode(), "x")
    connections = {inventory.head.name: SimpleNamespace(stream=stream)}
    session = SimpleNamespace(inventory=inventory, pool=SimpleNamespace(connections=connections))
    return make(session)[0]


STARTED = {"pid": 1, "started": 1, "offset": 0}


def test_silence_beyond_the_stall_limit_ends_the_wait_with_its_stage_and_the_logs_tail() -> None:
    run = watching({"text": "INFO Starting to load model /m...\n"})
    with pytest.raises(ServingError) as caught:
        watch_start(run, STARTED, "vllm.log")
    assert "silent for 0.05 s at stage loading the model" in caught.value.message
    assert caught.value.log_tail == ["INFO Starting to load model /m..."]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"exited": 1}, "vLLM ended during its start"),
        ({"text": "EngineCore failed to start.\n"}, "vLLM failed to start"),
    ],
)
def test_a_dead_process_or_a_fatal_line_ends_it_at_once(event: dict[str, Any], said: str) -> None:
    with pytest.raises(ServingError, match=said):
        watch_start(watching(event), STARTED, "vllm.log")


def test_an_undo_goes_on_when_nobody_reads_its_progress() -> None:
    class Gone(Told):
        def step(self, title: str) -> None:
            raise BrokenPipeError

        note = step

    run, _ = make()
    run.reporter = Surviving(Gone())
    done: list[str] = []
    with pytest.raises(ServingError):
        perform(run, steps(done, ServingError("x")), keep=False)
    assert done == ["head", "worker", "undo worker", "undo head"]
