"""Findings on no rank's own lines: the program's errors, versions that differ."""

from __future__ import annotations

import pytest

from sparkctl.fabric.nccllog import program
from tests.unit.nccllogs import CASES, HEALTHY, IB, REAL, SOCKET, process, read

PYNCCL = "RuntimeError: NCCL error: invalid usage (run with NCCL_DEBUG=WARN for details)"
TORCH = (
    "[rank0]: torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/"
    "c10d/NCCLUtils.cpp:93, invalid usage (run with NCCL_DEBUG=WARN for details), NCCL version 2.28"
)


@pytest.mark.parametrize(
    "line", [PYNCCL, TORCH, "ncclInvalidUsage: This usually reflects invalid usage of NCCL library"]
)
@pytest.mark.parametrize("before", ["", process(*IB)])
def test_invalid_usage_fails_and_names_unlike_settings(line: str, before: str) -> None:
    verdict = read({"a": f"{before}{line}\n"})
    assert (verdict.transport, verdict.cause, verdict.failed) == ("failed", "unknown", True)
    (found,) = verdict.findings
    assert found.code == "nccl-invalid-usage"
    assert [c.cause for c in found.candidates] == ["hca-filter", "settings-differ"]
    assert found.evidence[0].line == before.count("\n") + 1
    assert found.evidence[0].text in line


@pytest.mark.parametrize(("code", "words"), program.WORDS.items())
def test_another_error_of_nccls_is_named_in_its_words(code: str, words: str) -> None:
    line = f"(Worker pid=9) RuntimeError: NCCL error: {words} (run with NCCL_DEBUG=I"
    (found,) = read({"a": line}).findings
    assert (found.severity, found.code) == ("FAIL", code)
    assert words in found.summary


@pytest.mark.parametrize("name", ["real ifname-missing", "real net-ib-forced"])
def test_what_nccl_itself_explains_is_one_finding(name: str) -> None:
    assert any("invalid usage" in text for text in CASES[name][0].values())
    assert [f.cause for f in read(CASES[name][0]).findings] == [CASES[name][2]]


def test_a_rank_that_waited_for_another_says_so() -> None:
    name = "ifname-missing.rank1.log"
    verdict = read({name: (REAL / name).read_text()})
    assert (verdict.transport, verdict.cause, verdict.failed) == ("failed", "unknown", True)
    (found,) = verdict.findings
    assert found.code == "root-lost"
    assert "Connection was likely closed" in found.summary, "the log's own words"
    assert "retrieving ncclUniqueId from [0]" in found.evidence[0].text
    assert [c.cause for c in found.candidates] == ["peer-died"]


def test_the_same_version_everywhere_is_no_finding() -> None:
    assert read(HEALTHY).findings == ()


def test_ranks_with_other_versions_are_a_warning() -> None:
    files = {
        "a": process(*IB, rank=0, version="2.28.9"),
        "b": process(*IB, rank=1, version="2.27.7"),
    }
    verdict = read(files)
    assert (verdict.transport, verdict.cause, verdict.failed) == ("rdma", "unknown", False)
    (found,) = verdict.findings
    assert (found.cause, found.code, found.severity) == ("nccl-versions", "nccl-versions", "WARN")
    assert found.data == {"spark-1:100": "2.28.9", "spark-2:101": "2.27.7"}
    assert [(e.file, e.line) for e in found.evidence] == [("a", 1), ("b", 1)]
    other = files["b"].replace("commId 0x1a2b3c", "commId 0xdead")
    assert read({**files, "b": other}).findings == ()  # they do not talk to each other


def test_a_version_on_a_line_of_its_own_is_compared_too() -> None:
    text = process(*IB, rank=1, version="2.27.7")
    bare = text.replace("spark-2:101:101 [0] NCCL INFO NCCL version", "NCCL version")
    (found,) = read({"a": process(*IB, rank=0), "b": bare}).findings
    assert [(e.file, e.line, e.text) for e in found.evidence][1] == ("b", 1, "NCCL version 2.27.7")


def test_a_finding_leads_to_what_its_ranks_printed_of_a_variable() -> None:
    filtered = ("NCCL_IB_HCA set to rocep9s0f0", *SOCKET)
    verdict = read({"a": process(*IB, rank=0), "b": process(*filtered, rank=1)})
    found = next(f for f in verdict.findings if f.cause == "hca-filter-no-match")
    assert verdict.values("NCCL_IB_HCA", found.ranks) == {"spark-2:101": "rocep9s0f0"}
    assert verdict.values("NCCL_IB_HCA", ["spark-1:100", "elsewhere:1"]) == {}
    assert all("settings" not in rank for rank in verdict.document()["ranks"])
