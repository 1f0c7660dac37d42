"""SGLang's log as stages, a percentage and causes: real logs of rank 0 on two nodes (0.5.23)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.doctor.logs import read_logs
from sparkctl.engines.sglang.engine import SGLANG
from sparkctl.engines.sglang.failures import REMEDIES, WAITING, explain
from sparkctl.engines.sglang.failures import SGLANG as FAILURES
from sparkctl.engines.sglang.progress import Progress
from sparkctl.engines.sglang.stages import STAGES

LOGS = Path(__file__).parents[1] / "fixtures/sglang-logs"


def fed(name: str) -> Progress:
    progress = Progress()
    progress.feed((LOGS / name).read_text() + "\n")
    return progress


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=30))
def test_a_real_start_passes_its_stages_in_order(cuts: list[int]) -> None:
    text, progress, seen = (LOGS / "serve-tp2.log").read_text(), Progress(), []
    while text:
        for cut in cuts:
            if progress.feed(text[:cut]):
                seen.append(progress.stage)
            assert progress.joined == (progress.stage >= 2)
            text = text[cut:]
    assert seen == sorted(seen)
    assert progress.ready
    assert (progress.failed, progress.root) == (False, None)


def test_each_line_of_a_stage_is_a_stage_of_its_own() -> None:
    progress, seen = Progress(), []
    for line in (LOGS / "serve-tp2.log").read_text().splitlines(keepends=True):
        if progress.feed(line):
            seen.append(progress.stage_id)
    on_a_cpu = [stage.id for stage in STAGES if stage.id != "graphs"]
    assert list(dict.fromkeys(seen)) == on_a_cpu


def test_the_percentage_is_of_shards_and_of_graphs() -> None:
    progress = Progress()
    progress.feed("[2026-11-22 06:00:01 TP0] Load weight begin. avail mem=19.79 GB\n")
    progress.feed("Multi-thread loading shards:   0% Completed | 0/4 [00:00<?, ?it/s]\r")
    progress.feed("Multi-thread loading shards:  50% Completed | 2/4 [00:01<?, ?it/s]\r")
    assert (progress.stage_id, progress.percent) == ("loading", 50)
    progress.feed("[2026-11-22 06:00:01 TP0] Load weight end. elapsed=0.11 s\n")
    assert (progress.stage_id, progress.percent) == ("kv-cache", None)
    progress.feed("[2026-11-22 06:00:09 TP0] Capture target decode CUDA graph begin. This can\n")
    progress.feed("Capturing batches (bs=8 avail_mem=4.4 GB):  33%|###   | 1/3 [00:01<00:02]\r")
    assert (progress.stage_id, progress.percent) == ("graphs", 33)


@pytest.mark.parametrize(
    ("log", "cause", "code", "source"),
    [
        ("rank-1-killed.log", "RuntimeError: [", "sglang-rank-lost", "TP0"),
        ("bad-argument.log", "sglang serve: error: argument --quant", "sglang-arguments", ""),
        ("model-missing.log", "huggingface_hub.errors.HFVal", "sglang-model-not-found", ""),
        ("port-taken.log", "ERROR:    [Errno 98] error", "sglang-port-in-use", ""),
        (
            "meeting-port-taken.log",
            "torch.distributed.DistNetworkError: The server socket has failed",
            "sglang-port-in-use",
            "TP0",
        ),
    ],
)
def test_a_real_failure_has_its_cause(log: str, cause: str, code: str, source: str) -> None:
    progress = fed(log)
    assert progress.failed or log == "model-missing.log", "it has no traceback of a scheduler"
    assert progress.root is not None
    assert progress.root.text.startswith(cause)
    assert progress.source == source
    known = SGLANG.explain(progress, waited=False)
    assert known is not None
    assert known.code == code


def test_an_error_that_was_handled_is_no_cause() -> None:
    progress = Progress()
    progress.feed("[2026-11-22 06:00:00 TP0] no FA4: Traceback (most recent call last):\n")
    progress.feed("ImportError: No module named 'cutlass'\n")
    assert not progress.failed
    progress.feed((LOGS / "rank-1-killed.log").read_text())
    assert progress.described.startswith("RuntimeError: [")


def test_a_rank_that_never_joins_is_what_a_start_waits_for() -> None:
    progress = fed("rank-1-missing.log")
    assert (progress.stage_id, progress.joined, progress.failed) == ("ranks", False, False)
    assert SGLANG.explain(progress, waited=False) is None
    known = SGLANG.explain(progress, waited=True)
    assert known is not None
    assert known.code == "sglang-rank-missing"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            "ValueError: The memory capacity is unbalanced. pre_model_load_memory=112.3",
            "sglang-memory-unbalanced",
        ),
        ("RuntimeError: Not enough memory. Please try to increase --mem-frac", "no-kv-memory"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "sglang-out-of-memory"),
        ("ImportError: libibverbs.so.1: cannot open shared object file", "no-libibverbs"),
        ("Scheduler or DataParallelController 382 terminated with -9", "sglang-rank-killed"),
        ("Subprocess scheduler_0 (pid=942) crashed with exit code -11.", "sglang-crash"),
    ],
)
def test_a_known_line_has_a_remedy(line: str, code: str) -> None:
    known = explain([line], FAILURES)
    assert known is not None
    assert known.code == code


def test_a_capture_that_never_ends_is_known() -> None:
    line = "[2026-11-22 06:00:09 TP0] Capture target decode CUDA graph begin. This can take"
    known = explain([line], WAITING)
    assert known is not None
    assert known.code == "cuda-graphs-hang"


def test_every_failure_has_a_remedy_and_every_remedy_a_failure() -> None:
    assert {code for _, code in (*FAILURES, *WAITING)} == REMEDIES.keys()


@pytest.mark.parametrize(
    ("log", "severity", "code"),
    [
        ("rank-1-killed.log", "FAIL", "sglang-rank-lost"),
        ("bad-argument.log", "FAIL", "sglang-arguments"),
        ("model-missing.log", "WARN", "sglang-model-not-found"),
        ("port-taken.log", "FAIL", "sglang-port-in-use"),
        ("rank-1-missing.log", "WARN", "sglang-rank-missing"),
    ],
)
def test_doctor_reads_a_real_log(log: str, severity: str, code: str, tmp_path: Path) -> None:
    """Of one engine alone, and not what an earlier start in the same file did."""
    path, text = tmp_path / "engine.log", (LOGS / log).read_text()
    path.write_text((LOGS / "serve-tp2.log").read_text() + "== sparkctl 2026: sglang\n" + text)
    for name in (LOGS / log, path):
        verdict = read_logs([str(name)])
        (found,) = (f for f in verdict.findings if f.severity in ("FAIL", "WARN"))
        assert (found.cause, found.severity, found.code) == ("sglang", severity, code)
        assert not verdict.unrecognized


def test_doctor_finds_nothing_wrong_in_the_log_of_an_engine_that_serves() -> None:
    verdict = read_logs([str(LOGS / "serve-tp2.log")])
    assert [f.code for f in verdict.findings] == ["no-nccl-lines"]
    assert not verdict.unrecognized
