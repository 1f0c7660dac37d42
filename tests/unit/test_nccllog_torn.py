"""Processes that share a pipe tear each other's lines: what is left is no rank, and is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.nccllogs import (
    HEALTHY,
    IB,
    ON_IB,
    ON_SOCKET,
    REAL,
    USING,
    process,
    read,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
HUNG = (FIXTURES / "vllm/gpu-served-then-hung.log").read_bytes().decode()
PAIR = "".join(HEALTHY.values())


def names(text: str) -> list[str]:
    return [rank.name for rank in read({"all.log": text}).ranks]


def test_a_real_line_without_the_beginning_of_its_host_is_its_ranks() -> None:
    lines = HUNG.split("\n")
    assert lines[843].split(") ")[-1].startswith("1:6294:6294 [0] NCCL INFO Channel 00/0")
    assert names(HUNG) == ["spark-1:6294", "spark-2:1180"]
    channels = read({"vllm.log": HUNG}).ranks[0].channels
    without = read({"vllm.log": "\n".join([*lines[:843], *lines[844:]])}).ranks[0].channels
    assert channels["enp1s0f0np0"] == without["enp1s0f0np0"] + 1


@pytest.mark.parametrize("name", sorted(path.name for path in REAL.glob("*.log")))
def test_a_line_that_breaks_after_the_first_letter_is_no_rank(name: str) -> None:
    text = (REAL / name).read_text()
    (rank,) = read({name: text}).ranks
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("vm:"):
            torn = [*lines[:number], "v", line[1:], *lines[number + 1 :]]
            (found,) = read({name: "\n".join(torn)}).ranks
            assert (found.name, found.cause) == (rank.name, rank.cause)


@pytest.mark.parametrize(
    "torn",
    [
        "k-1:100:100 [0] NCCL INFO {}",
        ":100:100 [0] NCCL INFO {}",
        "0:100 [0] NCCL INFO {}",
        "Nspark-1:100:100 [0] NCCL INFO {}",
        "libnccl-net.sospark-1:100:100 [0] NCCL INFO {}",
        "spark-2:101:101 [0] NCCL INFO Chanspark-1:100:100 [0] NCCL INFO {}",
        "sprk-1:100:100 [0] NCCL INFO {}",
        "spark-1:10:100 [0] NCCL INFO {}",
        "100:100:100 [0] NCCL INFO {}",
        "spark-2:101:101 [0] NCCL INFO no more",
    ],
)
def test_what_a_torn_line_shows_is_kept(torn: str) -> None:
    before = read({"all.log": PAIR})
    after = read({"all.log": PAIR + torn.format("Channel 02/0 : 1[0] -> 0[0] via NET/IB/1") + "\n"})
    assert [rank.name for rank in after.ranks] == [rank.name for rank in before.ranks]
    more = 1 if "{}" in torn else 0
    assert sum(after.ranks[0].channels.values()) == sum(before.ranks[0].channels.values()) + more
    assert after.ranks[1].channels == before.ranks[1].channels
    assert after.findings == before.findings == ()


def test_what_stands_before_a_glued_line_is_whole() -> None:
    """The last number of a channel is not the beginning of a host."""
    glued = (
        "spark-1:100:100 [0] NCCL INFO Channel 02/0 : 1[0] -> 0[0] via NET/IB/1"
        "spark-2:101:101 [0] NCCL INFO Channel 02/0 : 0[0] -> 1[0] via NET/IB/0\n"
    )
    ranks = read({"all.log": PAIR + glued}).ranks
    assert [list(rank.channels.values()) for rank in ranks] == [[2, 3], [3, 2]]


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-21 00:06:24 [0] misc/socket.cc:1 NCCL WARN lost",
        "[2026-11-21 00:06:24:5 [0] misc/socket.cc:1 NCCL WARN lost",
        "(RayWorkerProc pid=9) [0] NCCL INFO Using network Socket",
        "[0] NCCL INFO Using network Socket",
    ],
)
def test_a_line_of_nobody_is_no_rank(line: str) -> None:
    verdict = read({"all.log": f"{line}\n{PAIR}{line}\n"})
    assert [rank.name for rank in verdict.ranks] == ["spark-1:100", "spark-2:101"]
    assert (verdict.transport, verdict.cause) == ("rdma", None)


def test_the_only_process_of_a_file_has_its_torn_lines() -> None:
    text = process(*IB).replace(
        "spark-1:100:100 [0] NCCL INFO Using network", "[0] NCCL INFO Using"
    )
    (rank,) = read({"rank0.log": text}).ranks
    assert (rank.name, rank.transport) == ("spark-1:100", "rdma")


def test_a_single_line_is_a_rank() -> None:
    text = "spark-1:100:100 [0] NCCL INFO Using network Socket\n"
    assert names(text) == ["spark-1:100"]


def test_warnings_of_few_lines_are_of_two_ranks() -> None:
    text = (
        "spark:100:100 [0] misc/socket.cc:1 NCCL WARN a\nspark-2:100:100 [0] a.cc:1 NCCL WARN b\n"
    )
    assert names(text) == ["spark:100", "spark-2:100"]


def test_a_crash_before_a_restart_with_a_longer_pid_is_no_torn_line() -> None:
    crashed = (
        "spark-1:10:10 [0] NCCL INFO cudaDriverVersion 13000\n"
        "spark-1:10:10 [0] bootstrap.cc:1 NCCL WARN Bootstrap : no socket interface found\n"
    )
    verdict = read({"all.log": crashed + process(*IB) * 2})
    assert [(rank.pid, rank.transport) for rank in verdict.ranks] == [(100, "rdma"), (10, "failed")]


def test_containers_with_the_same_pid_are_two_ranks() -> None:
    second = process(*IB, rank=1).replace("spark-2:101:101", "spark-2:100:100")
    assert names(process(*IB, rank=0) + second) == ["spark-1:100", "spark-2:100"]


def test_ray_names_a_rank_of_which_it_folded_most_lines() -> None:
    """The same pid in two containers, and one line of the second, whose prefix has an address."""
    first = "".join(
        f"(RayWorkerProc pid=100) {line}\n" for line in process(*IB, rank=0).splitlines()
    )
    folded = (
        "(RayWorkerProc pid=100, ip=192.168.100.12) spark-2:100:100 [0] NCCL INFO Using network"
    )
    assert names(f"{first}{folded} IB [repeated 9x across cluster]\n") == [
        "spark-1:100",
        "spark-2:100",
    ]


@pytest.mark.parametrize(
    "torn",
    [
        "NCCL version 2.2",
        "NET/IB : Using",
        "NET/IB : Using [0]rocep1s0f0:1/RoCE [1]roceP2",
        "NCCL_IB_HCA set to rocep1s0",
        "NCCL_IB_HCA set to ",
        "Init START commId 0x1a2",
        "Using network I",
        "Assigned NET plugin IB to",
    ],
)
@pytest.mark.parametrize("at", [0, -1])
def test_a_message_that_ends_early_proves_nothing(torn: str, at: int) -> None:
    value = "rocep1s0f0,roceP2p1s0f0"
    lines = process(f"NCCL_IB_HCA set to {value}", USING, *ON_IB).splitlines()
    lines.insert(at, f"spark-1:100:100 [0] NCCL INFO {torn}")
    verdict = read({"a": "\n".join(lines)})
    assert (verdict.transport, verdict.cause) == ("rdma", None)
    (rank,) = verdict.ranks
    assert (rank.nccl, rank.devices) == ("2.28.9", ("rocep1s0f0", "roceP2p1s0f0"))
    assert rank.settings["NCCL_IB_HCA"] == value


def test_half_a_line_on_the_devices_does_not_show_half_a_port() -> None:
    """Nor that NCCL looked for a device in vain."""
    half = "NET/IB : Using [0]rocep1s0f0:1/RoCE [1]roceP2"
    assert read({"a": process(half, *ON_IB)}).findings == ()
    assert read({"a": process("NET/IB : Using", *ON_SOCKET)}).cause == "unknown"


def test_the_only_line_of_a_rank_with_text_before_its_host_is_that_ranks() -> None:
    text = (REAL / "ifname-missing.rank0.log").read_text()
    glued = (
        "ENV/Plugin: Could not find: libnccl-env.sovm:1180:1180 [0] NCCL INFO ENV/Plugin: Closing\n"
    )
    assert names(text + glued) == ["vm:1179", "vm:1180"]


def test_a_rank_is_not_taken_from_another_ranks_line() -> None:
    """Seed 36 of two real logs that were put into one byte by byte."""
    text = "".join((REAL / f"socket-fallback.rank{n}.log").read_text() for n in (0, 1))
    head = "vm:686:686 [1] NCCL INFO NET/Socket : Using [0]"
    assert head in text
    found = read({"all.log": text.replace(head, f"{head}et rank 0 nranks 2 cudaDev 0\n")}).ranks
    assert [(rank.name, rank.rank) for rank in found] == [("vm:685", 0), ("vm:686", 1)]
