"""One line to a record: NCCL's own forms, and what vLLM, Ray and terminals put around them."""

from __future__ import annotations

import pytest

from sparkctl.fabric.nccllog.lines import TEXT_LIMIT, parse

INFO = "spark-1:884:971 [0] NCCL INFO Using network IB"
WARN = "NCCL WARN Bootstrap : no socket interface found"
URL = " (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0 to disable log deduplication)"


@pytest.mark.parametrize(
    "line",
    [
        INFO,
        "(EngineCore pid=2301) (RayWorkerProc pid=884, ip=192.168.100.12) " + INFO,
        f"\x1b[36m(RayWorkerProc pid=884)\x1b[0m {INFO}",
        f"\x1b[0;36m(EngineCore_DP0 pid=1)\x1b[0;0m\x1b[36m(RayWorkerWrapper pid=2)\x1b[0m {INFO}",
        f"[36m(RayWorkerVllm pid=884)[0m{INFO}",
        f"{INFO}\x1b[32m [repeated 3x across cluster]\x1b[0m",
        f"{INFO} [repeated 6x across cluster]{URL}",
        f"spark-1  | 2026-11-21T00:06:24.123Z 12:34:56 {INFO}",
        f"Loading shards:  50%|#####     | 13/26 [00:01<00:01, 1.00it/s]{INFO}",
    ],
)
def test_what_stands_around_a_record_is_taken_off(line: str) -> None:
    record = parse(line)
    assert record is not None
    assert (record.host, record.pid, record.level) == ("spark-1", 884, "INFO")
    assert record.message == "Using network IB"
    assert record.text == INFO
    assert record.text[record.start :] == record.message
    assert record.folded == ("repeated" in line)


@pytest.mark.parametrize(
    "head",
    [
        "spark-1:884:884 [0] bootstrap.cc:114 ",
        "[2026-11-21 00:06:24] spark-1:884:884 [0] plugin/net.cc:379 ",
        "[2026-11-21 00:06:24] spark-1:884:884 [-1] misc/socket.cc:446 (socketFinalizeAccept) ",
        "(RayWorkerProc pid=884) [2026-11-21 00:06:24] spark-1:884:884 [0] init.cc:1 ",
    ],
)
def test_warnings_of_every_version(head: str) -> None:
    record = parse(head + WARN)
    assert record is not None
    assert (record.host, record.pid, record.level) == ("spark-1", 884, "WARN")
    assert record.message == "Bootstrap : no socket interface found"
    assert record.text.startswith("spark-1:884:884 [")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "NCCL INFO without a process",
        "NCCL version 2.20.5+cuda12.4",
        "INFO 11-21 [pynccl.py:69] vLLM is using nccl==2.28.9",
        "[rank0]: torch.distributed.DistBackendError: NCCL error in: x.cpp:1, NCCL version 2.28.9",
        "export NCCL_DEBUG=INFO",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert parse(line) is None


def test_a_trailing_space_stays_part_of_a_value() -> None:
    record = parse("spark-1:1:1 [0] NCCL INFO NCCL_IB_HCA set to rocep1s0f0 ")
    assert record is not None
    assert record.message.endswith("rocep1s0f0 ")


def test_what_is_shown_is_short_and_printable() -> None:
    record = parse("spark-1:1:1 [0] NCCL INFO \x1b]0;title\x07 \x1b[2J" + "x" * 10_000)
    assert record is not None
    assert len(record.text) == TEXT_LIMIT
    assert record.text.isprintable()
