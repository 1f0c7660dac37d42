"""What follows from an engine's health: restart, leave alone, or say that nobody knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import CommandError, ServingError
from sparkctl.facts.answers import Completion, Health
from sparkctl.facts.calls import Call
from sparkctl.node.vitals import Look, Watch, describe
from sparkctl.node.vitals import parse as samples
from sparkctl.operations import health
from sparkctl.operations.look import look
from sparkctl.operations.startup import Watched
from tests.unit.answers import decoded
from tests.unit.openai import metrics
from tests.unit.test_inventory import GOOD

T = TypeVar("T")
HEALTH: Call[Health] = Call("", Health)
STILL: dict[str, Any] = {"running": 3, "waiting": 1, "tokens_per_second": 0.0, "still_for": 60.4}
WEDGED = {"state": "wedged", **STILL}
MOVING: dict[str, Any] = {"running": 64, "waiting": 136, "tokens_per_second": 420.3}
BUSY = {"state": "busy", **MOVING, "still_for": 0.0}


def session(answer: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """A session whose head answers so, and the requests and bounds that it gets."""
    asked: list[dict[str, Any]] = []

    def ask(_node: Any, call: Call[T], request: dict[str, Any], **options: Any) -> T:
        completion = answer if answer.get("error") else {"models": [], **answer}
        asked.append({**request.get("completion", request), "bound": options["timeout"]})
        return decoded(call, {"completion": completion} if "completion" in request else completion)

    return SimpleNamespace(inventory=parse(GOOD.encode(), "x"), ask=ask, recalled={}), asked


def judged(answer: dict[str, Any]) -> tuple[str | None, str | None]:
    """What follows from this answer to a look at what runs."""
    known, _ = session(answer)
    found = look(known, (), None)
    return health.judged(known.inventory.views[0], found.completion, found.health)


def watched(looks: list[tuple[float, Look | None]], **limits: Any) -> list[str | None]:
    """The state after each look."""
    watch = Watch(0.0, **{"still": 6.0, "patience": 3.0} | limits)
    states = []
    for now, found in looks:
        watch.look(now, found)
        states.append(watch.state())
    return states


def test_values_are_summed_over_their_labels_and_others_are_not_read() -> None:
    text = metrics(num_requests_running=4, kv_cache_usage_perc=0.5)
    text += (
        'vllm:num_requests_waiting_by_reason{reason="capacity"} 9\nvllm:num_requests_waiting 2\n'
    )
    assert samples(text) == {
        "num_requests_running": 4.0,
        "kv_cache_usage_perc": 0.5,
        "num_requests_waiting": 2.0,
    }
    assert samples("# nothing\nvllm:num_requests_running{} x\n") is None


def test_sglangs_values_by_vllms_names() -> None:
    labels = 'engine_type="unified",model_name="m",tp_rank="0"'
    text = (
        f"sglang:num_running_reqs{{{labels}}} 2.0\nsglang:num_queue_reqs{{{labels}}} 1.0\n"
        f'sglang:realtime_tokens_total{{{labels},mode="decode"}} 8.0\n'
        f'sglang:realtime_tokens_total{{{labels},mode="prefill_compute"}} 22.0\n'
        f"sglang:generation_tokens_total{{{labels}}} 99.0\nsglang:unknown 1\n"
    )
    assert samples(text) == {
        "num_requests_running": 2.0,
        "num_requests_waiting": 1.0,
        "generation_tokens_total": 8.0,
        "prompt_tokens_total": 22.0,
    }


def test_stillness_counts_between_looks_that_were_taken() -> None:
    same = {"generation_tokens_total": 8.0}
    assert watched([(0, same), (5.9, same), (6, same)])[-2:] == [None, "wedged"]
    unread: list[tuple[float, Look | None]] = [(0, same), (30, None), (60, None)]
    assert watched(unread) == [None, None, None]
    assert watched([(0, None), (60, None), (61, same)]) == [None, None, None]


def test_a_move_starts_the_bound_again_and_after_patience_means_busy() -> None:
    looks: list[tuple[float, Look | None]] = [
        (0.0, {"n": 1.0}),
        (2.9, {"n": 2.0}),
        (3.5, {"n": 2.0}),
        (8.8, {"n": 2.0}),
    ]
    assert watched(looks) == [None, None, None, None]
    assert watched([*looks, (8.9, {"n": 2.0})])[-1] == "wedged"
    assert watched([*looks, (8.9, {"n": 3.0})])[-1] == "busy"


def test_figures_in_words() -> None:
    assert describe(BUSY) == "busy: 64 running, 136 waiting, 420.3 tokens/s"
    assert describe(WEDGED) == (
        "wedged: 3 running, 1 waiting, no engine step ended for 60.4 s while a completion waited"
    )
    assert describe({"state": "silent"}) == "silent"


def test_a_serving_or_busy_engine_is_left_alone() -> None:
    assert judged({"health": {"state": "generating"}}) == (None, None)
    why, said = judged({"health": BUSY})
    assert (why, said) == (None, describe(BUSY))


@pytest.mark.parametrize(
    "answer",
    [
        {"health": WEDGED, "error": "wedged"},
        {"health": {"state": "silent"}, "error": "timed out", "status": None},
        {"health": {"state": "silent"}, "error": "refused", "refused": True},
        {"health": {"state": "failing"}, "error": "refused", "refused": True},
        {"health": {"state": "failing"}, "error": "reset", "dropped": True},
        {"health": {"state": "failing"}, "error": "HTTP 500", "status": 500},
    ],
)
def test_what_does_not_serve_is_restarted(answer: dict[str, Any]) -> None:
    why, said = judged(answer)
    assert why == f"no completion: {answer['error']}"
    assert said is None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ({"health": {"state": "unclear"}, "error": "no completion within 80 s"}, "log-stats"),
        ({"health": {"state": "failing"}, "error": "HTTP 401", "status": 401}, "logs vllm"),
        ({"health": {"state": "failing"}, "error": "HTTP 503", "status": 503}, "logs vllm"),
        ({"health": {"state": "failing"}, "error": "no JSON", "status": None}, "logs vllm"),
        ({"health": {"state": "failing"}, "error": "no token"}, "logs vllm"),
    ],
)
def test_what_a_restart_may_not_cure_is_not_restarted(answer: dict[str, Any], hint: str) -> None:
    with pytest.raises(ServingError, match=answer["error"]) as caught:
        judged(answer)
    assert hint in (caught.value.hint or "")
    assert caught.value.node == "spark-1"


def test_no_engine_is_restarted_within_the_longest_step_of_its_prompts() -> None:
    assert health.still_bound(()) == health.RESTART
    assert health.still_bound(("serve", "--max-num-batched-tokens", "8192")) == health.RESTART
    longest = health.still_bound(("serve", "--max-num-batched-tokens", "196608"))
    assert longest == pytest.approx(196608 / health.PREFILL)
    assert health.still_bound(("--max-num-batched-tokens",)) == health.RESTART


def test_each_asks_with_its_own_bounds() -> None:
    busy = {"health": BUSY}
    for call, still, first in (
        (health.report, health.REPORT, False),
        (health.first, health.FIRST, True),
        (lambda s: look(s, (), None), health.RESTART, False),
    ):
        known, asked = session(busy)
        call(known)
        (request,) = asked
        assert (request["still"], request.get("first", False)) == (still, first)
        assert request["bound"] > request["timeout"] + 2 * request["answer"]


def test_a_first_completion_names_the_process_that_was_started() -> None:
    known, asked = session({"health": BUSY})
    health.first(known, Watched(pid=7, started=99, log="x"))
    (request,) = asked
    assert (request["pid"], request["started"]) == (7, 99)
    # The API's answers have `timeout`, and the completion has it after them.
    assert request["bound"] > 2 * request["timeout"] + 2 * request["answer"]


def test_a_look_for_consent_waits_for_a_wedge_and_not_for_an_answer() -> None:
    known, asked = session({"health": {"state": "silent"}, "error": "timed out"})
    assert health.serves(known, (), "http://127.0.0.1:1", known.inventory.head)
    (request,) = asked
    assert (request["still"], request["answer"]) == (health.RESTART, health.CONSENT)
    assert health.CONSENT <= 10


def test_tokens_of_others_count_as_generated() -> None:
    assert health.generates(Completion(models=(), tokens=4, seconds=0.1))
    assert health.generates(Completion(models=(), health=decoded(HEALTH, BUSY)))
    assert not health.generates(Completion(models=(), health=decoded(HEALTH, WEDGED)))
    assert not health.generates(Completion(error="refused"))


def test_an_answer_without_the_engines_health_is_no_health() -> None:
    with pytest.raises(CommandError, match="has no engine health"):
        health.report(session({"models": ["m"]})[0])
