"""NCCL's warnings beside a transport that works: told with their lines, but for the harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.fabric.nccllog import warnings
from tests.unit.nccllogs import IB, ON_IB, USING, VIA_IB, Warn, pair, process, read

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.model import Finding

CLOSED = "socketProgress: Connection closed by remote peer spark-2<40554>"
REGISTER = "Call to ibv_reg_mr_iova2 failed with error Bad address"


def only_finding(*messages: str | Warn) -> Finding:
    (found,) = read({"a": process(*messages)}).findings
    return found


@pytest.mark.parametrize(
    ("text", "says", "candidates"),
    [
        (CLOSED, "a peer died", ["peer-died"]),
        ("Net : Call to recv from 1.2.3.4<5> failed : Connection reset by peer", "a peer died",
         ["peer-died"]),
        ("NET/IB : mlx5_0:1 Got async event : port error", "port failed", ["port-down"]),
        ("NET/IB : mlx5_0:1 Got non-fatal async event: port error(10)", "port failed",
         ["port-down"]),
        ("NET/IB : mlx5_0:1 async fatal event: local catastrophic error", "port failed",
         ["port-down"]),
        ("Cuda failure 2 'out of memory'", "no memory", []),
        ("Call to ibv_create_qp failed with error Invalid argument errno 22", "may break", []),
    ],
)  # fmt: skip
def test_a_warning_beside_rdma_is_told_with_its_line(
    text: str, says: str, candidates: list[str]
) -> None:
    verdict = read({"a": process(*IB, Warn(text))})
    assert (verdict.transport, verdict.cause, verdict.failed) == ("rdma", "unknown", False)
    assert [r.cause for r in verdict.ranks] == ["unknown"]
    (found,) = verdict.findings
    assert (found.cause, found.severity) == ("unknown", "WARN")
    assert says in found.summary
    assert text in found.summary
    assert text in found.evidence[0].text
    assert [c.cause for c in found.candidates] == candidates
    assert found.fix.text


def test_a_warning_within_one_host_is_told_too() -> None:
    local = "Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM"
    text = process(local, Warn(CLOSED)).replace("nNodes 2", "nNodes 1")
    verdict = read({"a": text})
    assert (verdict.transport, verdict.cause) == ("local", "unknown")


@pytest.mark.parametrize(
    "text",
    [
        "NET/IB : mlx5_0:1 GID table changed",
        "NET/IB : Got async event : GID table change",
        "NET/IB : mlx5_0:1 Got async event : port active",
        "NET/IB : mlx5_0:1 Got non-fatal async event: client reregistration(17)",
        "socketPollConnect: connect to 1.2.3.4<5> returned Connection refused, retrying (1/34)",
        "NET/Plugin: Failed to find ncclNetPlugin_v10 symbol.",
        "Could not find real path of rxe0 (/sys/class/infiniband/rxe0/device)",
    ],
)
def test_harmless_warnings_are_no_finding(text: str) -> None:
    verdict = read(pair(*IB, Warn(text)))
    assert (verdict.transport, verdict.cause, verdict.findings) == ("rdma", None, ())


def test_every_harmless_warning_has_its_reason() -> None:
    assert all(reason for _, reason in warnings.BENIGN)


def test_three_others_do_not_crowd_out_what_is_known() -> None:
    told = only_finding(*IB, *[Warn(f"something {n}") for n in range(9)], Warn(CLOSED))
    assert "a peer died" in told.summary
    assert CLOSED in told.evidence[0].text


def test_a_bad_address_is_a_registration_and_no_matter_of_limits() -> None:
    told = only_finding(*IB, Warn(REGISTER))
    assert (told.cause, told.severity, told.candidates) == ("memory-registration", "WARN", ())
    assert REGISTER in told.evidence[0].text
    assert "memlock" not in told.fix.text
    # NCCL's own way out shows that it did not go on without.
    died = only_finding(*IB, Warn(f"{REGISTER} errno 14"), "init.cc:421 -> 2")
    assert (died.cause, died.severity) == ("memory-registration", "FAIL")


def test_a_limit_on_another_rank_keeps_its_advice() -> None:
    memory = Warn("Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory errno 12")
    verdict = read(
        {"a": process(*IB, Warn(REGISTER), rank=0), "b": process(*IB, memory, rank=1)}
    )  # fmt: skip
    assert {c.cause for c in verdict.findings[0].candidates} == {"memlock-limit", "kho-kernel"}
    assert "memlock" in verdict.findings[0].fix.text


def test_a_named_cause_comes_before_a_warning() -> None:
    verdict = read(pair(USING, *ON_IB, VIA_IB[0], VIA_IB[2], Warn(CLOSED)))
    assert [f.severity for f in verdict.findings] == ["WARN", "WARN"]
    assert verdict.cause == "one-half-only"
