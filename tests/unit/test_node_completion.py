"""A completion and the engine's health, asked of a server that is healthy, busy, wedged or odd."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import completion, processes
from tests.unit.openai import REPLY, metrics, server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(completion, "LOOK", 0.02)
    monkeypatch.setattr(completion, "AGAIN", 0.02)
    monkeypatch.setenv("HOME", str(tmp_path))


def ask(base: str, **changes: Any) -> dict[str, Any]:
    request: Any = {"base": base, "cluster": "c", "tokens": 4, "timeout": 20}
    return {**completion.ask(request | {"still": 0.3, "patience": 0.1} | changes)}


def test_a_completion_that_comes_back() -> None:
    with server(lambda _: metrics(num_requests_running=0, generation_tokens_total=8)) as base:
        answer = ask(base)
    assert (answer["version"], answer["models"]) == ("0.32.0", ["m"])
    assert (answer["text"], answer["tokens"]) == (" hi", 4)
    assert answer["health"]["state"] == "generating"
    assert "error" not in answer


def test_an_api_without_a_version_is_asked_for_its_models() -> None:
    with server(lambda _: None, versions=lambda _: 404) as base:
        answer = ask(base)
    assert (answer["version"], answer["models"], answer["tokens"]) == (None, ["m"], 4)
    with server(lambda _: None, versions=lambda _: 401) as base:
        assert ask(base)["status"] == 401


def test_an_engine_without_a_step_is_wedged() -> None:
    still = metrics(num_requests_running=6, num_requests_waiting=2, generation_tokens_total=100)
    with server(lambda _: still, after=None) as base:
        answer = ask(base)
    health = answer["health"]
    assert (health["state"], health["running"], health["waiting"]) == ("wedged", 6, 2)
    assert 0.3 <= health["still_for"] < 10
    assert answer["error"].startswith("wedged: 6 running, 2 waiting, no engine step ended for ")
    assert answer["models"] == ["m"]


def test_a_wedged_engine_may_count_no_request_as_ours_never_reached_it() -> None:
    idle = metrics(num_requests_running=0, num_requests_waiting=0, generation_tokens_total=8)
    with server(lambda _: idle, after=None) as base:
        assert ask(base)["health"]["state"] == "wedged"


def test_a_saturated_engine_is_busy_and_not_waited_for() -> None:
    def look(number: int) -> str:
        tokens = 1000.0 * number
        return metrics(
            num_requests_running=64, num_requests_waiting=136, generation_tokens_total=tokens
        )

    with server(look, after=None) as base:
        answer = ask(base)
    health = answer["health"]
    assert (health["state"], health["running"], health["waiting"]) == ("busy", 64, 136)
    assert health["tokens_per_second"] > 0
    assert "error" not in answer
    assert "tokens" not in answer


def test_a_prompt_read_in_chunks_moves_the_kv_cache_alone_and_is_busy() -> None:
    def look(number: int) -> str:
        usage = 0.001 * (number // 5)  # several looks a chunk
        return metrics(num_requests_running=1, generation_tokens_total=8, kv_cache_usage_perc=usage)

    with server(look, after=None) as base:
        health = ask(base, still=5)["health"]
    assert (health["state"], health["tokens_per_second"]) == ("busy", 0)


def test_a_first_completion_may_take_long_without_a_step() -> None:
    still = metrics(num_requests_running=1, generation_tokens_total=0)
    with server(lambda _: still, after=30) as base:
        answer = ask(base, still=15, first=True)
    assert (answer["tokens"], answer["health"]["state"]) == (4, "generating")


def test_tokens_of_others_prove_a_first_completion_and_their_prompts_do_not() -> None:
    def prompts(number: int) -> str:
        return metrics(num_requests_running=9, prompt_tokens_total=number)

    with server(prompts, after=30) as base:
        assert ask(base, first=True)["health"]["state"] == "generating"
    with server(lambda n: metrics(generation_tokens_total=n), after=None) as base:
        assert ask(base, first=True)["health"]["state"] == "busy"


@pytest.mark.parametrize(
    "found",
    [None, "", "vllm:num_requests_running", "vllm:num_requests_running nan\n", b"\xff\xfe" * 9],
    ids=["404", "no log stats", "cut", "nan", "binary"],
)
def test_without_metrics_nobody_knows_why_no_completion_came(found: Any) -> None:
    with server(lambda _: found, after=None) as base:
        answer = ask(base, timeout=0.5)
    unknown = dict.fromkeys(("running", "waiting", "tokens_per_second", "still_for"))
    assert answer["health"] == {"state": "unclear", **unknown}
    assert answer["error"] == "no completion within 0.5 s"
    with server(lambda _: found) as base:
        assert ask(base)["tokens"] == 4


def test_metrics_without_end_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "LIMIT", 1000)
    large = metrics(num_requests_running=1) + "x" * 1000
    with server(lambda _: large, after=None) as base:
        assert ask(base, timeout=0.5)["health"]["running"] is None
    with server(lambda _: None, completion={**REPLY, "more": "x" * 1000}) as base:
        assert "answers with more than 1000 bytes" in ask(base)["error"]


def test_a_refused_completion_and_one_without_a_token_fail() -> None:
    with server(lambda _: None, completion={"error": "dead"}, status=500) as base:
        answer = ask(base)
    assert (answer["health"]["state"], answer["status"]) == ("failing", 500)
    assert 'HTTP 500: {"error": "dead"}' in answer["error"]
    empty = {"choices": [{"text": ""}], "usage": {"completion_tokens": 0}}
    for odd in (empty, [1, 2], {}, {"choices": 3}):
        with server(lambda _: None, completion=odd) as base:
            answer = ask(base)
        assert answer["health"]["state"] == "failing"
        assert answer["error"]
        assert not answer.get("dropped")


def test_a_completion_whose_connection_is_dropped_says_so() -> None:
    with server(lambda _: None, status=0) as base:
        answer = ask(base)
    assert (answer["health"]["state"], answer["status"]) == ("failing", None)
    assert (answer["dropped"], answer["refused"]) == (True, False)


@pytest.mark.parametrize("models", [[1, 2], {"data": []}, {"data": {}}, {"data": [3]}, 7])
def test_another_program_on_the_port_is_no_api(models: Any) -> None:
    with server(lambda _: None, models=models) as base:
        answer = ask(base)
    assert answer["health"] == {"state": "failing"}
    assert (answer["status"], answer["refused"]) == (None, False)
    assert answer["error"]


def test_what_speaks_no_tls_and_a_name_that_is_none_are_not_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unresolved(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with server(lambda _: None) as base:
        answer = ask(base.replace("http:", "https:"))
    assert (answer["health"], answer["refused"]) == ({"state": "failing"}, False)
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    answer = ask("http://name.invalid:1")
    assert (answer["health"], answer["refused"]) == ({"state": "failing"}, False)


def test_an_api_that_times_out_is_silent_and_not_refused() -> None:
    with server(lambda _: None, versions=lambda _: None) as base:
        answer = ask(base, answer=0.1)
    assert (answer["health"], answer["refused"]) == ({"state": "silent"}, False)


@pytest.mark.parametrize("early", [503, 500, None])
def test_a_first_answer_is_asked_for_again(early: int | None) -> None:
    with server(lambda _: None, versions=lambda n: early if n < 3 else 200) as base:
        answer = ask(base, first=True, answer=0.5)
        assert (answer["tokens"], answer["health"]["state"]) == (4, "generating")
    with server(lambda _: None, versions=lambda n: early if n < 3 else 200) as base:
        assert "error" in ask(base, answer=0.5), "only after a start"


def test_a_refusal_by_status_is_not_asked_again() -> None:
    with server(lambda _: None, versions=lambda n: 401 if n == 1 else 200) as base:
        answer = ask(base, first=True)
    assert (answer["health"]["state"], answer["status"]) == ("failing", 401)


def test_a_first_answer_is_waited_for_until_the_server_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as bound, server(lambda _: None) as base:
        bound.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{bound.getsockname()[1]}"
        request: Any = {"base": refusing, "cluster": "c", "tokens": 4, "timeout": 20, "first": True}
        # As a server that begins to listen between two tries.
        monkeypatch.setattr("time.sleep", lambda _: request.update(base=base))
        assert completion.ask(request)["tokens"] == 4


def test_nobody_waits_for_the_first_answer_of_a_process_that_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    request = {"pid": gone.pid, "started": processes.identity(gone.pid), "timeout": 3600}
    gone.wait()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        answer = ask(f"http://127.0.0.1:{bound.getsockname()[1]}", first=True, **request)
    assert answer["refused"]


def test_the_wait_for_a_first_answer_ends() -> None:
    mine = {"pid": os.getpid(), "started": processes.identity(os.getpid())}
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        answer = ask(f"http://127.0.0.1:{bound.getsockname()[1]}", first=True, timeout=0.3, **mine)
    assert answer["health"] == {"state": "silent"}


def test_a_port_where_nobody_listens_is_silent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        answer = ask(f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert answer["health"] == {"state": "silent"}
    assert answer["refused"]
    assert "Connection refused" in answer["error"]


@pytest.mark.parametrize(("status", "code"), [(200, None), (404, None), (500, None), (503, 503)])
def test_an_engine_that_died_behind_its_api_is_an_error(status: int, code: int | None) -> None:
    with server(lambda _: "", health=status) as base:
        found = ask(base, tokens=0, engine=True)
        assert "error" not in ask(base, tokens=0)
    assert (found["models"], found.get("status")) == (["m"], code)
    assert ("the engine has died" in found.get("error", "")) == (code is not None)
