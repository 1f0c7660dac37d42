"""vLLM ends without an error of its engine: before it has one, or because that was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.logs import read_logs
from sparkctl.engines.vllm.rootcause import trace
from sparkctl.node import nccllines
from tests.unit.test_rootcause import API, CORE, ERROR, HEADER, RANK1, READY, STARTING, raised, said

if TYPE_CHECKING:
    from pathlib import Path

TOKENIZER = "ValueError: Couldn't instantiate the backend tokenizer from one of:"
ANSWER = f'{API}INFO:     10.0.0.9:1 - "POST /v1/completions HTTP/1.1" 200 OK\n'
BEGUN = STARTING.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    "log",
    [
        BEGUN + raised(API, TOKENIZER),
        BEGUN + raised(API, TOKENIZER) + said("", "resource_tracker.py:254: UserWarning: x"),
        HEADER + raised("", TOKENIZER),  # before vLLM has a logger
    ],
)
def test_a_start_that_ends_before_its_engine_is_reported(log: str, tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(log)
    (found,) = [f for f in read_logs([str(path)]).findings if f.cause == "vllm"]
    assert (found.code, found.severity) == ("vllm", "WARN")
    assert found.summary.startswith(TOKENIZER)


@pytest.mark.parametrize(
    "log",
    [
        STARTING + raised(API + ERROR, TOKENIZER),  # logged: it may go on
        BEGUN + raised(API, TOKENIZER) + STARTING.replace(BEGUN, ""),
        raised(API, TOKENIZER),  # a request's, as far as this part of a log shows
        # The beginning is missing, and throughput is not logged.
        raised(API + ERROR, "PermissionError: [Errno 13] Permission denied: '/data/a.png'")
        + ANSWER,
        STARTING + READY + raised(API, TOKENIZER),
        STARTING + raised(RANK1, TOKENIZER),  # Ray passes on what others print
    ],
)
def test_an_error_that_may_have_ended_nothing_is_not_reported(log: str, tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(log)
    assert [f for f in read_logs([str(path)]).findings if f.cause == "vllm"] == []


STOPPED = said(API, "INFO:     Shutting down")
KILLED = said(
    f"{API}ERROR 11-21 14:46:00 [core_client.py:600] ",
    "Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.",
)


@pytest.mark.parametrize(
    ("log", "codes"),
    [
        (STARTING + READY + KILLED + STOPPED, [("rank-died", "FAIL")]),
        (STARTING + KILLED, [("rank-died", "FAIL")]),
        (STARTING + READY + STOPPED + KILLED, []),  # Ctrl-C ends all processes at once
        (STARTING + READY + ANSWER * 600 + STOPPED + ANSWER * 300 + KILLED, []),
    ],
)
def test_an_engine_that_was_killed(log: str, codes: list[tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(log)
    found = [f for f in read_logs([str(path)]).findings if f.cause == "vllm"]
    assert [(f.code, f.severity) for f in found] == codes
    fetched: Any = nccllines.lines({"path": str(path)})
    assert bool(trace((n, text) for n, text in fetched["errors"]).fatal) == bool(codes)


ADAPTER = "FileNotFoundError: [Errno 2] No such file or directory: '/lora/adapter_config.json'"
TOKENS = said(
    f"{API}INFO 11-21 14:53:50 [loggers.py:310] ",
    "Engine 000: Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 8.0 tokens/s",
)


@pytest.mark.parametrize("between", ["", ANSWER * 9000])
def test_an_error_after_which_the_engine_went_on_is_a_requests(
    between: str, tmp_path: Path
) -> None:
    path = tmp_path / "vllm.log"
    failed = STARTING + READY + TOKENS + raised(CORE + ERROR, ADAPTER) + between + TOKENS
    for log, codes in (
        (failed, ["model-not-found"]),
        (failed + TOKENS, []),
        (failed + TOKENS + KILLED, ["rank-died"]),
    ):
        path.write_text(log)
        found = [f.code for f in read_logs([str(path)]).findings if f.cause == "vllm"]
        assert found == codes


def test_refused_arguments_end_the_start(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(
        said(f"{API}INFO 11-21 14:53:50 [api_server.py:10] ", "vLLM API server version 0.32.0")
        + "usage: vllm serve [model_tag] [options]\n"
        + "vllm serve: error: unrecognized arguments: --foo\n"
    )
    found = [f for f in read_logs([str(path)]).findings if f.cause == "vllm"]
    assert [(f.code, f.severity) for f in found] == [("vllm-arguments", "FAIL")]
    fetched: Any = nccllines.lines({"path": str(path)})
    assert trace((n, text) for n, text in fetched["errors"]).fatal
