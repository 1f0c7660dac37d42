"""A log without its beginning; CUDA graphs with an NCCL that hangs in them; a ring of four."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.doctor.logs import read_logs
from sparkctl.output.nccllog import MOST_RANKS, print_verdict
from tests.unit.nccllogs import (
    CONNECTED,
    IB,
    ON_IB,
    ON_SOCKET,
    TIMED_OUT,
    USING,
    VIA_IB,
    VIA_SOCKET,
    Warn,
    process,
    read,
)

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.model import Finding, LogVerdict

FIXTURES = Path(__file__).parents[1] / "fixtures"
HUNG = FIXTURES / "vllm/gpu-served-then-hung.log"


def judge(path: Path, text: str) -> LogVerdict:
    path.write_bytes(text.encode())
    return read_logs([str(path)])


def finding(verdict: LogVerdict, code: str) -> Finding | None:
    return next((found for found in verdict.findings if found.code == code), None)


# The beginning.


@pytest.mark.parametrize(("lines", "ranks"), [(30, 0), (100, 0), (160, 1), (200, 1)])
def test_the_end_of_a_real_log_lacks_its_beginning(lines: int, ranks: int, tmp_path: Path) -> None:
    tail = HUNG.read_bytes().decode().split("\n")[-lines:]
    verdict = judge(tmp_path / "vllm.log", "\n".join(tail))
    found = finding(verdict, "beginning-missing")
    assert found is not None
    assert (verdict.cause, found.cause, len(verdict.ranks)) == ("unknown", "unknown", ranks)
    assert found.fix.commands == ("sparkctl logs vllm --all",)


def test_a_whole_log_of_vllm_without_nccl_lacks_no_beginning(tmp_path: Path) -> None:
    text = (FIXTURES / "vllm/serve-tp2.log").read_bytes().decode()
    verdict = judge(tmp_path / "vllm.log", text)
    assert finding(verdict, "beginning-missing") is None
    assert finding(verdict, "no-nccl-lines") is not None


def test_a_start_of_sparkctl_is_a_beginning(tmp_path: Path) -> None:
    line = "(APIServer pid=1) INFO 11-21 14:45:16 [model.py:623] Resolved architecture: M\n"
    assert finding(judge(tmp_path / "a.log", line), "beginning-missing") is not None
    assert finding(judge(tmp_path / "b.log", f"== sparkctl x\n{line}"), "no-nccl-lines") is not None


def test_warnings_alone_lack_no_beginning() -> None:
    verdict = read({"a": "spark-1:1:1 [0] a.cc:1 NCCL WARN something\n"})
    assert finding(verdict, "beginning-missing") is None


def test_what_the_end_of_a_log_shows_needs_no_beginning() -> None:
    lines = process(*IB, CONNECTED).splitlines(keepends=True)
    verdict = read({"a": "".join(lines[-4:])})
    assert (verdict.transport, verdict.cause, verdict.findings) == ("rdma", None, ())


def test_tcp_without_a_reason_says_that_the_beginning_is_missing() -> None:
    lines = process(*ON_SOCKET, *VIA_SOCKET).splitlines(keepends=True)
    (found,) = read({"a": "".join(lines[-2:])}).findings
    assert (found.code, found.severity, found.cause) == ("beginning-missing", "FAIL", "unknown")
    assert {c.cause for c in found.candidates} >= {"no-device", "net-forced-socket"}


# CUDA graphs.

BAR = "(Worker_TP0 pid=100) Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):   0%| | 0/9\r"
BAR += "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%|##| 9/9 [00:01<00:00]\n"
DONE = "(Worker_TP0 pid=100) INFO 11-21 14:46:09 [gpu_model_runner.py:1] Graph capturing finished\n"
SKIPPED = "(Worker_TP0 pid=100) WARNING 11-21 14:46:09 [x.py:1] Skipping CUDA graph capture. To\n"


def ranks(version: str = "2.28.9", size: int = 2) -> str:
    return "".join(process(*IB, rank=n, version=version, size=size) for n in (0, 1))


@pytest.mark.parametrize("line", [BAR, DONE])
def test_graphs_over_nodes_with_the_nccl_that_hangs_are_a_warning(
    line: str, tmp_path: Path
) -> None:
    verdict = judge(tmp_path / "vllm.log", ranks() + line)
    (found,) = verdict.findings
    assert (found.code, found.severity) == ("nccl-graphs-hang", "WARN")
    assert found.ranks == ("spark-1:100", "spark-2:101")
    assert found.evidence[0].text in line
    assert any("NCCL version 2.28.9" in e.text for e in found.evidence)
    assert (verdict.transport, verdict.cause, verdict.failed) == ("rdma", "unknown", False)


@pytest.mark.parametrize(
    "text",
    [
        ranks() + SKIPPED,
        ranks(version="2.30.4") + BAR,
        process(*IB, size=1) + BAR,
        BAR + ranks(),  # of an earlier start
        f"{ranks()}{BAR}== sparkctl x\n{ranks()}",
    ],
)
def test_no_graphs_or_another_nccl_is_no_warning(text: str, tmp_path: Path) -> None:
    assert judge(tmp_path / "vllm.log", text).findings == ()


def test_graphs_are_of_the_start_that_they_follow(tmp_path: Path) -> None:
    verdict = judge(tmp_path / "vllm.log", f"{ranks()}== sparkctl x\n{ranks()}{BAR}")
    assert finding(verdict, "nccl-graphs-hang") is not None


# The tree.


def tree(rank: int) -> tuple[str | Warn, ...]:
    """A rank in a ring of four, whose tree has the ranks 0 and 2 in it."""
    before, after, across = (rank + 3) % 4, (rank + 1) % 4, (rank + 2) % 4
    return (
        f"Trees [0] {across}/-1/-1->{rank}->-1 [1] {before}/-1/-1->{rank}->{after}",
        USING,
        *ON_IB,
        f"Channel 00/0 : {before}[0] -> {rank}[0] [receive] via NET/IB/0",
        f"Channel 01/0 : {rank}[0] -> {after}[0] [send] via NET/IB/1",
        CONNECTED,
        f"Channel 00/0 : {rank}[0] -> {across}[0] [send] via NET/IB/0",
        Warn(TIMED_OUT),
        "transport/generic.cc:46 -> 2",
        "init.cc:1263 -> 2",
    )


def test_a_ring_of_four_names_its_diagonals() -> None:
    verdict = read({f"{n}": process(*tree(n), rank=n, size=4) for n in range(4)})
    (found,) = verdict.findings
    assert (found.code, found.severity) == ("ring-without-diagonal", "FAIL")
    assert found.data == {"diagonal": ["2", "3", "0", "1"]}
    assert "rank 0 to rank 2" in found.summary
    assert "NCCL_IB_SUBNET_AWARE_ROUTING=1" in found.fix.text
    assert any("generic.cc:46" in e.text or "ibv_modify_qp" in e.text for e in found.evidence)


@pytest.mark.parametrize("last", ["transport/generic.cc:46 -> 2", "init.cc:1263 -> 2"])
def test_nccls_trace_alone_shows_it(last: str) -> None:
    messages = [m for m in tree(0)[:-3] if isinstance(m, str)]
    verdict = read({"a": process(*messages, last, size=4)})
    assert (verdict.transport, verdict.cause) == ("failed", "ring-without-diagonal")


def test_a_peer_that_does_not_answer_is_no_tree() -> None:
    timed_out = Warn(TIMED_OUT)
    # A pair, a ring that is not connected, trees that are, and a tree of the ring's own ranks.
    before = tuple(m for m in tree(0) if m != CONNECTED)
    near = tuple(m for m in tree(0) if not (isinstance(m, str) and m.startswith("Trees")))
    near = ("Trees [0] 1/-1/-1->0->3", *near)
    for size, messages in (
        (2, tree(0)),
        (4, before),
        (4, (USING, *ON_IB, *VIA_IB, CONNECTED, "Connected all trees", timed_out)),
        (4, near),
    ):
        assert read({"a": process(*messages, size=size)}).cause == "peer-timeout"


# Many ranks.


def test_at_most_200_ranks_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    size = MOST_RANKS + 50
    text = io.StringIO()
    for rank in range(size):
        text.write(process("NET/IB : No device found.", *ON_SOCKET, rank=rank, size=size))
    verdict = read({"all.log": text.getvalue()})
    print_verdict(verdict)
    lines = capsys.readouterr().out.splitlines()
    assert sum(" socket " in line for line in lines) == MOST_RANKS
    assert lines[-1] == "50 more ranks; see --json"
    assert len(lines) < MOST_RANKS + 50
    assert len(json.loads(json.dumps(verdict.document()))["ranks"]) == size


def test_the_number_of_earlier_starts_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(read_logs([str(HUNG)]))
    assert (
        "The log has 2 earlier starts; the verdict is on the last one." in capsys.readouterr().out
    )
