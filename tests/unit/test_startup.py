"""Watching a start: until it is ready, or by which line, silence or death it fails."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.failures import REMEDIES
from sparkctl.errors import ServingError
from sparkctl.facts.answers import Started
from sparkctl.facts.calls import COMPLETION
from sparkctl.operations import startup
from sparkctl.operations.logs.kept import newest
from sparkctl.operations.session import Session
from sparkctl.operations.support.controller import start_logs
from sparkctl.operations.support.excerpt import Excerpt
from tests.unit.answers import decoded, node_facts
from tests.unit.clusterpair import SERVE, desired
from tests.unit.runs import Told, make
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.facts.calls import Call
    from sparkctl.operations.run import Run


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
    exists: bool = True,
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

    completion: dict[str, Any] = {"models": [], "health": {"state": "generating"}}
    if answer is not None:
        completion = {"error": answer, "health": {"state": state, "still_for": 60.0}}
    session = Watching(stream, completion, exists=exists)
    outlook = SimpleNamespace(of=lambda _: desired(session.inventory))
    run, told = make(session, outlook)
    run.started[SERVE] = STARTED
    return run, told


class Watching(Session):
    """A session with one connection, over which a log is followed."""

    def __init__(self, stream: Any, completion: dict[str, Any], *, exists: bool) -> None:
        inventory = parse((GOOD + "  stall_timeout: 0.05\n").encode(), "x")
        links = dict.fromkeys(["spark-1", "spark-2"], SimpleNamespace(stream=stream))
        reached: Any = SimpleNamespace(connections=links, changing=list)
        known = {"spark-1": node_facts({"state": {**STATE, "exists": exists}})}
        super().__init__(inventory, Path(), reached, facts=known)
        self.completion = completion
        self.requests: list[dict[str, Any]] = []

    # It takes the options that the real one has and needs none.
    def ask(  # type: ignore[override]
        self, _: Any, call: Call[Any], request: dict[str, Any], **__: Any
    ) -> Any:
        assert call is COMPLETION
        self.requests.append(request)
        return decoded(COMPLETION, self.completion)


def watch(run: Run, placed: Callable[[], bool] = lambda: True) -> None:
    """Wait for vLLM, as `up` does."""
    unit = run.outlook.of(SERVE).units[SERVE]
    startup.watch(run, unit, placed=placed)


def failure(run: Run) -> ServingError:
    """What the start fails with."""
    with pytest.raises(ServingError) as caught:
        watch(run)
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
    assert error.hint == REMEDIES["rank-stalls"].replace("{key}", "vllm")


def test_a_stage_that_moves_outlives_the_stall_limit() -> None:
    def bar(number: int) -> Event:
        time.sleep(0.01)
        if number == 30:
            return {"text": "INFO:     Application startup complete.\n"}
        return {"text": f"Capturing CUDA graphs: {number}/30 [00:01]\r"}

    start = time.monotonic()
    watch(watching(forever=bar)[0])
    assert time.monotonic() - start > 0.3


def test_time_in_which_nobody_could_look_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "GAP", 0.02)

    def late(number: int) -> Event:
        if number == 0:
            time.sleep(0.1)  # twice the stall limit, as while a connection is made again
            return None
        return READY

    watch(watching({"text": "INFO Starting to load model /m...\n"}, forever=late)[0])


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
    run.started[SERVE] = Started(pid=7, started=99, offset=0, log="vllm.log")
    watch(run)
    assert isinstance(run.session, Watching)
    assert [(r["pid"], r["started"]) for r in run.session.requests] == [(7, 99)]


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
    watch(run, placed(True))
    assert len(asked) == 1
    run, told = watching(JOINED, loading, READY)
    watch(run, placed(False, True))
    assert len(asked) == 2
    assert not any("warning" in said for said in told.said)
    run, told = watching(JOINED, READY)
    watch(run, placed(False, False))
    assert "warning: Ray does not show on which nodes the ranks run" in told.said


def test_a_rank_on_another_node_ends_the_start_before_the_model_is_loaded() -> None:
    def placed() -> bool:
        raise ServingError("the ranks are on other nodes than planned")

    run, _ = watching(JOINED, READY)
    with pytest.raises(ServingError, match="on other nodes than planned"):
        watch(run, placed)


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
        events = ({"text": f"line {n}\n"} for n in range(100))
        run, told = watching(*events, {"exited": 1}, exists=False)
        failure(run)
    assert len([*(tmp_path / "sparkctl").iterdir()]) == 10
    path = Path(told.said[-1].removeprefix("vLLM's log is kept in ").partition(";")[0])
    assert path.read_text().splitlines() == [f"line {n}" for n in range(100)]
    assert path.stat().st_mode & 0o777 == 0o600
    found = newest(run.cluster, "spark-1", "vllm")
    assert found is not None
    second = slice(len("sparks-20261122-140220"))  # of several in one, any is the newest
    assert found.name[second] == path.name[second]
    logs, left_out = start_logs(run.session.inventory)
    assert (len(logs), left_out) == (10, {})
    assert logs["spark-1", path.name] == Excerpt(path.read_text())
