"""A run's undoing, and the end of its patience: what `--keep` and vllm.stall_timeout do."""

from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.failures import REMEDIES
from sparkctl.errors import LeaseLostError, RemoteError, ServingError
from sparkctl.facts.answers import Completion, Started
from sparkctl.facts.calls import COMPLETION, NOTE_MEMORY, STOP, TAKE_LEASE
from sparkctl.operations import startup
from sparkctl.operations import steps as launching
from sparkctl.operations.down import down
from sparkctl.operations.lease import hold
from sparkctl.operations.run import Run, Step, perform, undo
from sparkctl.operations.startup import watch_start
from sparkctl.output.reporter import SafeReporter
from sparkctl.remote.fanout import GroupResult
from tests.unit.answers import decoded, node_facts, process
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.events import Outcome
    from sparkctl.facts.answers import Stopped
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, title: str) -> None:
        self.said.append(title)

    def stage(self, title: str, percent: int | None) -> None:
        self.said.append(title)

    note = step

    def end(self, outcome: Outcome = "done") -> None:
        self.said.append(f"({outcome})")


def pool(*under_way: threading.Event) -> SimpleNamespace:
    return SimpleNamespace(changing=lambda: [e for e in under_way if not e.is_set()])


def make(session: Any = None) -> tuple[Run, Told]:
    """A run with a reporter that remembers; nothing else of it is looked at."""
    told = Told()
    session = session or SimpleNamespace(pool=pool(), lease=None)
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
    assert told.said[-1] == "Rolled back."


def test_what_starts_after_its_end_was_looked_for_is_taken_back_too() -> None:
    call = threading.Event()
    run, told = make(SimpleNamespace(pool=pool(call), lease=None))
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
    run, told = make(SimpleNamespace(pool=pool(), lease=lease))
    with pytest.raises(LeaseLostError if lost else ServingError):
        perform(run, steps(done, ServingError("x")), keep=False)
    assert done == ["head", "worker", "confirm", *([] if lost else ["undo worker", "undo head"])]
    assert ("Rolled back." in told.said) is not lost


def test_a_model_that_was_stopped_for_a_restart_is_said_to_be_down() -> None:
    run, told = make()
    run.ended = "m"
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


Event = dict[str, Any] | None
HANGS = "INFO 11-21 03:{}:53 No available shared memory broadcast block found in 60 seconds.\n"


def printed(event: Event) -> str | None:
    """What the follower on the node prints."""
    return None if event is None else json.dumps(event)


def watching(
    *events: Event,
    forever: Callable[[int], Event] = lambda _: None,
    answer: str | None = None,
    state: str = "failing",
) -> tuple[Run, Told]:
    """A run whose vLLM logs these events and then `forever`, a few seconds; a completion comes back
    with the error `answer` of an engine in this state.
    """

    @contextmanager
    def stream(*_: Any, **__: Any) -> Iterator[Iterator[str | None]]:
        def lines() -> Iterator[str | None]:
            yield from map(printed, events)
            end = time.monotonic() + 5
            for number in itertools.count():
                yield printed(forever(number))
                assert time.monotonic() < end, "the wait does not end"

        yield lines()

    inventory = parse((GOOD + "  stall_timeout: 0.05\n").encode(), "x")
    head = inventory.head.name
    session = SimpleNamespace(
        inventory=inventory,
        lease=None,
        facts={head: node_facts({"state": STATE})},
        pool=SimpleNamespace(connections={head: SimpleNamespace(stream=stream)}),
        ask=lambda *_, **__: decoded(
            COMPLETION,
            {"models": [], "health": {"state": "generating"}}
            if answer is None
            else {"error": answer, "health": {"state": state, "still_for": 60.0}},
        ),
    )
    return make(session)


def failure(run: Run) -> ServingError:
    """What the start fails with."""
    with pytest.raises(ServingError) as caught:
        watch_start(run, STARTED)
    return caught.value


STARTED = Started(pid=1, started=1, offset=0, log="vllm.log")
STATE: dict[str, Any] = {
    "exists": True,
    "path": "/s",
    "temp_dir": True,
    "lease": None,
    "files": {},
}
READY = {"text": "INFO:     Application startup complete.\n"}


def test_silence_beyond_the_stall_limit_ends_the_wait_with_its_stage_and_the_logs_tail() -> None:
    error = failure(watching({"text": "INFO Starting to load model /m...\n"})[0])
    assert (error.code, error.data) == ("vllm-stalled", {"cause": None, "stage": "loading"})
    assert error.log_tail == ["INFO Starting to load model /m..."]


def test_a_line_that_is_repeated_for_ever_does_not_keep_the_wait_alive() -> None:
    run, _ = watching(forever=lambda n: {"text": HANGS.format(n)})
    error = failure(run)
    assert (error.code, error.data["cause"]) == ("vllm-stalled", "rank-stalls")
    assert error.hint == REMEDIES["rank-stalls"]


def test_a_stage_that_moves_outlives_the_stall_limit() -> None:
    def bar(number: int) -> Event:
        time.sleep(0.01)
        if number == 30:
            return {"text": "INFO:     Application startup complete.\n"}
        return {"text": f"Capturing CUDA graphs: {number}/30 [00:01]\r"}

    start = time.monotonic()
    watch_start(watching(forever=bar)[0], STARTED)
    assert time.monotonic() - start > 0.3


@pytest.mark.parametrize(
    ("event", "code"),
    [({"exited": 1}, "vllm-exited"), ({"text": "EngineCore failed to start.\n"}, "vllm-failed")],
)
def test_a_dead_process_or_a_fatal_line_ends_it_at_once(event: dict[str, Any], code: str) -> None:
    assert failure(watching(event)[0]).code == code


def test_the_trace_after_a_fatal_line_is_read_for_the_cause() -> None:
    fatal = {"text": "ERROR [core.py:1510] EngineCore failed to start.\n"}
    cause = {"text": "ERROR [core.py:1510] OSError: [Errno 28] No space left on device\n"}
    error = failure(watching(fatal, cause)[0])
    assert error.message.endswith(": OSError: [Errno 28] No space left on device")
    assert (error.code, error.data["cause"]) == ("vllm-failed", "disk-full")


def test_a_death_at_the_first_completion_is_explained_by_the_log_since() -> None:
    kernel = "torch.AcceleratorError: CUDA error: no kernel image is available"
    trace = {"text": f"ERROR [core.py:9] EngineCore encountered a fatal error.\n{kernel}\n"}
    error = failure(watching(READY, trace, answer="HTTP 500: See stack trace (above)")[0])
    assert error.message.endswith(f": HTTP 500: See stack trace (above): {kernel}")
    assert error.log_tail[-1] == kernel
    assert error.code == "no-completion"
    assert error.data == {"cause": "kernel-for-other-gpu", "stage": "ready"}


def test_a_completion_that_times_out_is_explained_by_a_rank_that_stalls() -> None:
    hangs = {"text": HANGS.format(1)}
    error = failure(watching(READY, hangs, answer="no step", state="wedged")[0])
    assert (error.code, error.data["cause"]) == ("no-completion", "rank-stalls")
    error = failure(watching(READY, hangs, answer="HTTP 500: timed out")[0])
    assert (error.hint, error.data["cause"]) == (None, None), "it did not wait"


def test_the_first_completion_is_waited_for_while_that_vllm_lives() -> None:
    run, _ = watching(READY)
    asked: list[dict[str, Any]] = []

    def ask(_node: Any, _call: Any, request: dict[str, Any], **_: Any) -> Completion:
        asked.append(request)
        return decoded(COMPLETION, {"models": [], "health": {"state": "generating"}})

    run.session.ask = ask  # type: ignore[method-assign, assignment]  # no node is there
    watch_start(run, Started(pid=7, started=99, offset=0, log="vllm.log"))
    assert [(request["pid"], request["started"]) for request in asked] == [(7, 99)]


JOINED = {"text": "INFO world_size=2 rank=0 local_rank=0\n"}


def test_the_ranks_nodes_are_looked_at_when_they_have_joined_and_again_when_ready() -> None:
    asked: list[str] = []

    def placed(*answers: bool) -> Callable[[], bool]:
        asked.clear()
        left = iter(answers)

        def look() -> bool:
            asked.append("")
            return next(left)

        return look

    loading = {"text": "INFO Starting to load model /m...\n"}
    run, told = watching(JOINED, loading, READY)
    watch_start(run, STARTED, placed=placed(True))
    assert len(asked) == 1
    run, told = watching(JOINED, loading, READY)
    watch_start(run, STARTED, placed=placed(False, True))
    assert len(asked) == 2
    assert not any("warning" in said for said in told.said)
    run, told = watching(JOINED, READY)
    watch_start(run, STARTED, placed=placed(False, False))
    assert "warning: Ray does not show on which nodes the ranks run" in told.said


def test_a_rank_on_another_node_ends_the_start_before_the_model_is_loaded() -> None:
    def placed() -> bool:
        raise ServingError("the ranks are on other nodes than planned")

    run, _ = watching(JOINED, READY)
    with pytest.raises(ServingError, match="on other nodes than planned"):
        watch_start(run, STARTED, placed=placed)


def test_what_is_logged_for_ever_after_a_failed_completion_is_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(startup, "LAST_WORDS", 0.05)
    run, _ = watching(READY, forever=lambda n: {"text": f"line {n}\n"}, answer="HTTP 500")
    assert failure(run).message == "vLLM is ready but generates nothing: HTTP 500"


def test_the_log_of_a_failed_first_start_is_kept_here_for_the_undo_removes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    events = ({"text": f"line {n}\n"} for n in range(100))
    failure(watching(*events, {"exited": 1})[0])
    assert list(tmp_path.iterdir()) == []
    for _ in range(12):
        run, told = watching(*({"text": f"line {n}\n"} for n in range(100)), {"exited": 1})
        absent = node_facts({"state": {**STATE, "exists": False}})
        run.session.facts[run.session.inventory.head.name] = absent
        failure(run)
    assert len([*(tmp_path / "sparkctl").iterdir()]) == 10
    path = Path(told.said[-1].removeprefix("vLLM's log is kept in ").partition(";")[0])
    assert path.read_text().splitlines() == [f"line {n}" for n in range(100)]
    assert path.stat().st_mode & 0o777 == 0o600


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


def test_a_step_of_down_that_did_not_end_a_nodes_processes_is_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sparkctl.operations.down.hold", lambda *_, **__: nullcontext({}))
    inventory = parse(GOOD.encode(), "x.yaml")
    ended = decoded(STOP, {"stopped": [], "remaining": []})
    stuck = decoded(STOP, {"stopped": [], "remaining": [process("vllm", "vllm serve m")]})

    def ask_all(nodes: list[Node], *_: Any, **__: Any) -> GroupResult[Stopped]:
        return GroupResult({n.name: stuck if n.name == "spark-1" else ended for n in nodes})

    names = [node.name for node in inventory.nodes]
    session: Any = SimpleNamespace(
        inventory=inventory,
        lease=None,
        pool=SimpleNamespace(connections=dict.fromkeys(names), errors={}),
        ask_all=ask_all,
    )
    told = Told()
    report = down(session, told)
    assert list(report.failed) == ["spark-1"]
    assert told.said == ["stop vLLM", "(failed)", "stop the Ray workers"]


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


def test_shared_memory_that_cannot_be_recorded_undoes_no_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model is served by then."""

    def ask_all(_nodes: Any, call: Call[Any], *_: Any, **__: Any) -> GroupResult[Any]:
        if call is STOP:
            return GroupResult()
        assert call is NOTE_MEMORY
        return GroupResult(failed={"spark-2": RemoteError("connection lost", node="spark-2")})

    monkeypatch.setattr(launching, "watch_start", lambda *_, **__: None)
    monkeypatch.setattr(launching, "_recorded", lambda *_: "{}")
    inventory = parse(GOOD.encode(), "x")
    session = SimpleNamespace(
        inventory=inventory, lease=None, ask_all=ask_all, ask=lambda *_, **__: {}, pool=pool()
    )
    run, told = make(session)
    wish = SimpleNamespace(head=SimpleNamespace(vllm_argv=()), ray_address="a:1")
    run.wish = wish  # type: ignore[assignment]  # what start_vllm reads of it
    perform(run, (Step("start vLLM", launching.start_vllm),), keep=False)
    assert told.said[-1].startswith("warning: spark-2: shared memory is not recorded")
