"""NCCL's warnings under a transport that works: findings with their lines, but for the harmless."""

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
    ("text", "code"),
    [
        (CLOSED, "peer-died"),
        ("Net : Call to recv from 1.2.3.4<5> failed : Connection reset by peer", "peer-died"),
        ("NET/IB : mlx5_0:1 Got async event : port error", "port-error"),
        ("NET/IB : mlx5_0:1 Got non-fatal async event: port error(10)", "port-error"),
        ("NET/IB : mlx5_0:1 async fatal event: local catastrophic error", "port-error"),
        ("Cuda failure 2 'out of memory'", "gpu-memory"),
        ("Call to ibv_create_qp failed with error Invalid argument errno 22", "warning"),
    ],
)
def test_a_warning_under_rdma_is_a_finding_with_its_line(text: str, code: str) -> None:
    verdict = read({"a": process(*IB, Warn(text))})
    assert (verdict.transport, verdict.cause, verdict.failed) == ("rdma", "unknown", False)
    assert [r.cause for r in verdict.ranks] == ["unknown"]
    (found,) = verdict.findings
    assert (found.cause, found.code, found.severity) == ("unknown", code, "WARN")
    assert found.data == {"messages": [text]}
    assert text in found.summary
    assert text in found.evidence[0].text
    candidates = {"peer-died": ["peer-died"], "port-error": ["port-down"]}
    assert [c.cause for c in found.candidates] == candidates.get(code, [])
    assert found.fix.text


def test_a_warning_within_one_host_is_a_finding_too() -> None:
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
    found = only_finding(*IB, *[Warn(f"something {n}") for n in range(9)], Warn(CLOSED))
    assert found.code == "peer-died"
    assert CLOSED in found.evidence[0].text


def test_a_bad_address_is_a_registration_and_no_matter_of_limits() -> None:
    found = only_finding(*IB, Warn(REGISTER))
    assert (found.cause, found.code) == ("memory-registration", "bad-address")
    assert (found.severity, found.candidates) == ("WARN", ())
    assert REGISTER in found.evidence[0].text
    # NCCL's trace of its own error shows that it did not continue.
    ended = only_finding(*IB, Warn(f"{REGISTER} errno 14"), "init.cc:421 -> 2")
    assert (ended.cause, ended.code, ended.severity) == (
        "memory-registration",
        "bad-address",
        "FAIL",
    )


def test_a_limit_on_another_rank_keeps_its_advice() -> None:
    memory = Warn("Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory errno 12")
    files = {"a": process(*IB, Warn(REGISTER), rank=0), "b": process(*IB, memory, rank=1)}
    (found,) = read(files).findings
    assert {c.cause for c in found.candidates} == {"memlock-limit", "kho-kernel"}
    assert found.code == "memory-registration"


def test_a_named_cause_comes_before_a_warning() -> None:
    verdict = read(pair(USING, *ON_IB, VIA_IB[0], VIA_IB[2], Warn(CLOSED)))
    assert [f.severity for f in verdict.findings] == ["WARN", "WARN"]
    assert verdict.cause == "one-half-only"
