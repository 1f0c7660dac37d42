"""A run's steps and their rollback: in reverse, with --keep, after Ctrl-C, with a lost lease."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import LeaseLostError, ServingError, Terminated
from sparkctl.facts.calls import BELONGINGS, STOP, TAKE_LEASE
from sparkctl.operations.down import down
from sparkctl.operations.lease import hold
from sparkctl.operations.run import GOES_ON, LEFT, Step, perform, undo
from sparkctl.output.progress.reporter import SafeReporter
from sparkctl.plan.departed import Departed
from sparkctl.remote.fanout import GroupResult
from tests.unit.answers import decoded, process
from tests.unit.runs import Told, make, pool, steps
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node
    from sparkctl.operations.run import Run


@pytest.mark.parametrize("failure", [ServingError("x"), KeyboardInterrupt()])
def test_a_failure_undoes_in_reverse_and_is_raised_again(failure: BaseException) -> None:
    run, told = make()
    done: list[str] = []
    with pytest.raises(type(failure)):
        perform(run, steps(done, failure), keep=False)
    assert done == ["head", "worker", "undo worker", "undo head"]
    assert told.said[-1] == "Rolled back."


def test_what_starts_after_its_end_was_looked_for_is_taken_back_too() -> None:
    call = threading.Event()
    run, told = make(SimpleNamespace(pool=pool(call), lease=None, hurry=lambda: None))
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
    assert told.said.count("roll back: stop vLLM") == 1


@pytest.mark.parametrize(
    ("failure", "asks"),
    [(KeyboardInterrupt(), True), (Terminated(), False), (ServingError("x"), False)],
)
def test_after_ctrl_c_alone_the_user_may_leave_it_running(
    failure: BaseException, asks: bool
) -> None:
    run, told = make()
    done: list[str] = []
    with pytest.raises(type(failure)):
        perform(run, steps(done, failure), keep=False, leave=lambda: True)
    assert ("undo head" not in done) is asks
    assert told.said[-1] == (LEFT if asks else "Rolled back.")


def test_ctrl_c_leaves_what_another_run_started_without_asking() -> None:
    run, told = make(outlook=SimpleNamespace(waits=("toy/0/rank/spark-1",)))

    def leave() -> bool:
        raise AssertionError("it asks")

    with pytest.raises(KeyboardInterrupt):
        perform(run, steps([], KeyboardInterrupt())[2:3], keep=False, leave=leave)
    assert told.said[-1] == GOES_ON


def test_a_second_ctrl_c_tells_what_ends_the_rest() -> None:
    run, told = make()

    def interrupted() -> None:
        raise KeyboardInterrupt

    run.undo.append(("stop Ray", interrupted))
    with pytest.raises(KeyboardInterrupt):
        perform(run, steps([], ServingError("x"))[2:3], keep=False)
    assert told.said[-1] == "Rollback interrupted. Run `sparkctl down` to clean up."


def test_ctrl_c_while_the_lease_is_taken_gives_it_back() -> None:
    asked: list[str] = []

    def ask_all(_nodes: Any, call: Call[Any], _request: Any, **_: Any) -> GroupResult[Any]:
        asked.append(call.target)
        if call is TAKE_LEASE:
            raise KeyboardInterrupt
        return GroupResult()

    inventory = parse(GOOD.encode(), "x")
    session: Any = SimpleNamespace(pool=pool(), ask_all=ask_all, inventory=inventory)
    with pytest.raises(KeyboardInterrupt), hold(session, Told().note, "up", inventory.nodes):
        raise AssertionError("not reached")
    assert asked == ["lease.take", "lease.release"]


def test_who_lost_the_lease_undoes_nothing() -> None:
    run, told = make()
    done: list[str] = []
    with pytest.raises(LeaseLostError):
        perform(run, steps(done, LeaseLostError("x")), keep=False)
    assert done == ["head", "worker"]
    assert told.said[-1] == "vLLM"


@pytest.mark.parametrize("lost", [False, True])
def test_a_lease_that_was_lost_before_the_undo_is_found_by_asking(lost: bool) -> None:
    """What failed may be the other run's doing, and what runs now its own."""
    done: list[str] = []

    def confirm() -> None:
        done.append("confirm")
        if lost:
            raise LeaseLostError("x")

    lease = SimpleNamespace(check=lambda: None, confirm=confirm)
    run, told = make(SimpleNamespace(pool=pool(), lease=lease, hurry=lambda: None))
    with pytest.raises(LeaseLostError if lost else ServingError):
        perform(run, steps(done, ServingError("x")), keep=False)
    assert done == ["head", "worker", "confirm", *([] if lost else ["undo worker", "undo head"])]
    assert ("Rolled back." in told.said) is not lost


def test_a_model_that_was_stopped_for_a_restart_is_said_to_be_down() -> None:
    run, told = make()
    run.ended = ("m",)
    with pytest.raises(KeyboardInterrupt):
        perform(run, steps([], KeyboardInterrupt()), keep=False)
    assert told.said[-1].startswith("m is down: ")


def test_keep_leaves_what_was_started_and_says_so() -> None:
    run, told = make()
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        perform(run, steps(done, KeyboardInterrupt()), keep=True)
    assert done == ["head", "worker"]
    assert told.said[-1].endswith("(--keep).")


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(ServingError("x"), "failed"), (KeyboardInterrupt(), "interrupted")],
)
def test_the_step_that_failed_is_the_one_that_is_marked(
    failure: BaseException, outcome: str
) -> None:
    run, told = make()
    with pytest.raises(type(failure)):
        perform(run, steps([], failure), keep=False)
    assert told.said == [
        "head",
        "worker",
        "vLLM",
        f"({outcome})",
        "roll back: worker",
        "roll back: head",
        "(done)",
        "Rolled back.",
    ]


def test_a_part_of_the_undo_that_fails_is_marked() -> None:
    def stuck() -> None:
        raise ServingError("it hangs")

    run, told = make()
    run.undo += [("head", lambda: None), ("worker", stuck)]
    undo(run)
    assert told.said[:4] == [
        "roll back: worker",
        "(failed)",
        "rollback failed: worker: it hangs",
        "roll back: head",
    ]


def test_an_undo_goes_on_when_nobody_reads_its_progress() -> None:
    class Gone(Told):
        def step(self, title: str) -> None:
            raise BrokenPipeError

        note = step

    run, _ = make()
    run.reporter = SafeReporter(Gone())
    done: list[str] = []
    with pytest.raises(ServingError):
        perform(run, steps(done, ServingError("x")), keep=False)
    assert done == ["head", "worker", "undo worker", "undo head"]


def test_a_step_of_down_that_did_not_end_a_nodes_processes_is_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sparkctl.operations.down.hold", lambda *_, **__: nullcontext({}))
    inventory = parse(GOOD.encode(), "x.yaml")
    ended = decoded(STOP, {"stopped": [], "remaining": []})
    stuck = decoded(STOP, {"stopped": [], "remaining": [process("vllm", "vllm serve m")]})

    state = {"exists": True, "path": "/s", "temp_dir": True, "lease": None}
    nothing = decoded(BELONGINGS, {**state, "files": {"applied.json": None}})

    def ask_all(nodes: list[Node], call: Call[Any], *_: Any, **__: Any) -> GroupResult[Any]:
        if call is BELONGINGS:
            return GroupResult({n.name: nothing for n in nodes})
        return GroupResult({n.name: stuck if n.name == "spark-1" else ended for n in nodes})

    names = [node.name for node in inventory.nodes]
    session: Any = SimpleNamespace(
        inventory=inventory,
        lease=None,
        departed=Departed(),
        pool=SimpleNamespace(connections=dict.fromkeys(names), errors={}),
        ask_all=ask_all,
    )
    told = Told()
    report = down(session, told)
    assert list(report.failed) == ["spark-1"]
    assert told.said == ["stop the engines", "(failed)", "stop the workers"]
