"""A log with several starts: the verdict is on the last one, and the others are counted."""

from __future__ import annotations

import re
from pathlib import Path

from sparkctl.fabric.nccllog.processes import MOST
from tests.unit.nccllogs import CASES, IB, SOCKET, Files, Warn, process, read

HUNG = Path(__file__).parents[1] / "fixtures/vllm/gpu-served-then-hung.log"


def start(number: int, *messages: str | Warn, pids: bool = True, engine: str = "") -> str:
    """Both ranks of a start, with a communicator of its own, and mostly pids of their own."""
    text = "".join(process(*messages, rank=rank) for rank in (0, 1))
    text = text.replace("commId 0x1a2b3c", f"commId 0x{number:x}")
    if pids:
        text = re.sub(r":(10[01]):10[01] ", rf":{number}\1:{number}\1 ", text)
    return re.sub(r"(?m)^(?=.)", engine, text)


def log(*starts: str) -> Files:
    return {"vllm.log": "(APIServer pid=1) INFO bye\n".join(starts)}


def test_fifty_restarts_are_two_ranks_and_a_number() -> None:
    verdict = read(log(*(start(n, *IB) for n in range(1, 51))))
    assert [(rank.rank, rank.pid) for rank in verdict.ranks] == [(0, 50100), (1, 50101)]
    assert verdict.earlier == {"rdma": 49}
    assert verdict.document()["earlier_starts"] == {"count": 49, "transports": {"rdma": 49}}
    assert (verdict.transport, verdict.findings) == ("rdma", ())


def test_a_container_that_restarts_has_the_same_pids() -> None:
    verdict = read(log(*(start(n, *IB, pids=False) for n in range(1, 51))))
    assert [(rank.rank, rank.pid) for rank in verdict.ranks] == [(0, 100), (1, 101)]
    assert sum(verdict.ranks[0].channels.values()) == 4  # of the last start alone
    assert sum(verdict.document()["earlier_starts"]["transports"].values()) == 49


def test_restarts_without_end_are_read_in_bounded_memory() -> None:
    verdict = read(log(*(start(n, *IB) for n in range(1, MOST + 1))))
    assert [rank.pid for rank in verdict.ranks] == [MOST * 1000 + 100, MOST * 1000 + 101]
    assert sum(verdict.earlier.values()) == MOST - 1


def test_rdma_in_an_earlier_start_is_not_lost() -> None:
    verdict = read(log(start(1, *IB), start(2, *IB), start(3, *SOCKET)))
    assert (verdict.transport, verdict.cause, verdict.earlier) == (
        "socket",
        "no-device",
        {"rdma": 2},
    )
    assert [(f.code, f.severity) for f in verdict.findings] == [
        ("no-device", "FAIL"),
        ("transport-changed", "INFO"),
    ]
    changed = verdict.findings[1]
    assert changed.data == {"rdma": 2, "starts": 2}
    assert changed.ranks == ("spark-1:2100", "spark-2:2101")
    assert all("via NET/IB" in e.text or "NET/IB : Using" in e.text for e in changed.evidence)


def test_the_cause_of_an_earlier_start_is_none_of_the_last() -> None:
    verdict = read(log(start(1, *SOCKET), start(2, *IB)))
    assert (verdict.transport, verdict.cause, verdict.findings) == ("rdma", None, ())
    assert verdict.earlier == {"socket": 1}
    assert {rank.nccl for rank in verdict.ranks} == {"2.28.9"}


def test_a_real_log_of_three_starts() -> None:
    verdict = read({"vllm.log": HUNG.read_bytes().decode()})
    assert verdict.earlier == {"socket": 2}
    # Without the line that begins a start its engine shows it.
    bare = re.sub(r"(?m)^== sparkctl .*$", "", HUNG.read_bytes().decode())
    without = read({"vllm.log": bare})
    assert without.earlier == {"socket": 2}
    assert [rank.name for rank in without.ranks] == [rank.name for rank in verdict.ranks]


def test_engines_side_by_side_are_one_start() -> None:
    """Data parallel: each engine has a rank 0, and prints after the other."""
    first = start(1, *IB, engine="(EngineCore_DP0 pid=7) ")
    second = start(2, *IB, engine="(EngineCore_DP1 pid=8) ")
    verdict = read({"vllm.log": first + second})
    assert [rank.rank for rank in verdict.ranks] == [0, 0, 1, 1]
    assert verdict.earlier == {}


def test_another_engine_of_the_same_name_is_another_start() -> None:
    """Ranks that failed before they had a number are those of the engine that began them."""
    text, _, cause = CASES["ifname-no-match 2.30.7"]
    lines = "".join(text.values()).splitlines()
    early = [line for line in lines if " rank " not in line and "nRanks" not in line]
    starts = []
    for n in (1, 2, 3):
        again = re.sub(r":(10[01]):10[01] ", rf":{n}\1:{n}\1 ", "\n".join(early))
        starts.append(re.sub(r"(?m)^(?=.)", f"(EngineCore pid={n}) ", f"{again}\n"))
    verdict = read(log(*starts))
    assert [rank.name for rank in verdict.ranks] == ["spark-1:3100", "spark-2:3101"]
    assert (verdict.cause, verdict.earlier) == (cause, {"failed": 2})


def test_ranks_in_a_row_are_one_start() -> None:
    verdict = read({"all.log": process(*IB, rank=0) + process(*IB, rank=1)})
    assert (len(verdict.ranks), verdict.earlier) == (2, {})


def test_starts_are_divided_in_each_file() -> None:
    both = [start(n, *IB) for n in (1, 2)]
    files = {
        f"rank{rank}.log": "".join(
            line for text in both for line in text.splitlines(keepends=True) if f"10{rank}:" in line
        )
        for rank in (0, 1)
    }
    verdict = read(files)
    assert [rank.name for rank in verdict.ranks] == ["spark-1:2100", "spark-2:2101"]


def test_nodes_logs_in_a_row_are_divided_by_communicator() -> None:
    starts = [start(n, *IB) for n in (1, 2, 3)]
    lines = [line for text in starts for line in text.splitlines(keepends=True)]
    verdict = read({"all.log": "".join(x for pid in ("100:", "101:") for x in lines if pid in x)})
    assert [rank.name for rank in verdict.ranks] == ["spark-1:3100", "spark-2:3101"]
    assert verdict.earlier == {"rdma": 2}


def test_a_process_in_two_files_is_one() -> None:
    text = start(1, *IB)
    for one in (text, text.replace("commId 0x1 ", "")):  # NCCL before 2.18 prints no commId
        verdict = read({"vllm.log": one, "nccl.log": one})
        assert [rank.pid for rank in verdict.ranks] == [1100, 1101]
        assert verdict.earlier == {}
