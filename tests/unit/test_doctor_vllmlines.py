"""vLLM's and Ray's own lines in a log that is read for NCCL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sparkctl.doctor.logs import read_logs
from sparkctl.doctor.vllmlines import BATCH, VllmLines
from sparkctl.engines.vllm.rootcause import MOST_RECENT
from sparkctl.fabric.nccllog.model import LogVerdict
from tests.unit.nccllogs import HEALTHY, NO_DEVICE, ON_SOCKET, VIA_SOCKET, process

FREE = (
    "Free memory on device cuda:0 (10.1/119.7 GiB) on startup is less than desired GPU memory"
    " utilization (0.85, 101.7 GiB)."
)
READY = "INFO:     Application startup complete.\n"
FIXTURES = Path(__file__).parents[1] / "fixtures/vllm"


Read = Callable[[str], LogVerdict]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(text: str) -> LogVerdict:
        log = tmp_path / "vllm.log"
        log.write_text(text)
        return read_logs([str(log)])

    return reading


WAITS = "INFO [ray_utils.py:467] Waiting for creating a placement group of specs for 10 seconds."
STALLS = "INFO [shm.py:1] No available shared memory broadcast block found in 60 seconds"
COLOURED = "\x1b[36mRuntimeError: Version mismatch: The cluster was started with:\x1b[0m"
NO_GROUP = "ValueError: Cannot provide a placement group of x within 1800 seconds."


@pytest.mark.parametrize(
    ("line", "severity", "code"),
    [
        (f"(EngineCore pid=2) ERROR 11-21 [core.py:9] ValueError: {FREE}", "FAIL", "memory-in-use"),
        (FREE, "FAIL", "memory-in-use"),
        ("ImportError: /x/_C.abi3.so: undefined symbol: _ZN3c10", "WARN", "torch-mismatch"),
        ("vllm: symbol lookup error: /x.so: undefined symbol: _Z", "WARN", "torch-mismatch"),
        (COLOURED, "WARN", "ray-versions-differ"),
        (NO_GROUP, "WARN", "too-few-gpus"),
        (WAITS, "WARN", "too-few-gpus"),
        (STALLS, "WARN", "rank-stalls"),
        (f"Loading: 50%\rValueError: {FREE}\rLoading: 60%", "FAIL", "memory-in-use"),
    ],
)
def test_a_failure_of_the_server_is_found_with_its_line_and_code(
    line: str, severity: str, code: str, read: Read
) -> None:
    verdict = read(f"INFO first\n{line}\nINFO last\n")
    found = verdict.findings[0]
    assert (found.cause, found.code, found.severity) == ("vllm", code, severity)
    assert found.fix.text
    assert [e.line for e in found.evidence] == [2]
    assert found.evidence[0].text in line
    assert found.summary.startswith(found.evidence[0].text)
    assert (verdict.transport, verdict.cause) == ("unknown", "unknown")
    assert verdict.failed == (severity == "FAIL")


def test_a_fatal_line_without_a_known_remedy_brings_the_first_error(read: Read) -> None:
    (found,) = read((FIXTURES / "serve-failed.log").read_text()).findings
    assert (found.cause, found.severity) == ("vllm", "FAIL")
    assert found.summary.startswith("ValueError: Following weights were not initialized")


@pytest.mark.parametrize(
    "text",
    [
        (FIXTURES / "serve-tp2.log").read_text(),
        f"ValueError: {FREE}\n{READY}",  # an earlier start, and one that went well
        f"ValueError: {FREE}\n== sparkctl 2026: vllm serve\nINFO starting\n",
        f"{READY}ERROR ValueError: max_model_len is 2048, wanted 4096\n",  # a request's
        "INFO No current placement group found. Creating a new placement group.\n"
        "WARNING This may result in Ray placement group allocation failures.\n",
    ],
)
def test_what_did_no_harm_is_no_finding(text: str, read: Read) -> None:
    assert [f.cause for f in read(text).findings if f.cause == "vllm"] == []


def test_an_engine_that_dies_after_it_was_ready_is_found(read: Read) -> None:
    text = f"{READY}ERROR EngineCore encountered a fatal error.\n"
    found = read(text + "RuntimeError: ibv_reg_mr: Cannot allocate memory\n").findings[0]
    assert (found.cause, found.severity) == ("vllm", "FAIL")
    assert "KHO" in found.fix.text


def test_errors_of_many_requests_do_not_hide_the_end(read: Read) -> None:
    requests = "ERROR ValueError: max_model_len is 2048, wanted 4096\n" * (MOST_RECENT + 1)
    text = f"{READY}{requests}ERROR EngineCore encountered a fatal error.\n"
    (found,) = [f for f in read(text).findings if f.cause == "vllm"]
    assert (found.severity, found.code) == ("FAIL", "vllm")
    assert found.summary == "EngineCore encountered a fatal error."


def test_nccls_findings_come_first_and_its_cause_counts(read: Read) -> None:
    server = f"ValueError: {FREE}\n"
    both = read(process(NO_DEVICE, *ON_SOCKET, *VIA_SOCKET) + server)
    assert [f.cause for f in both.findings] == ["no-device", "vllm"]
    assert (both.transport, both.cause) == ("socket", "no-device")
    well = read("".join(HEALTHY.values()) + server)
    assert [f.cause for f in well.findings] == ["vllm"]
    assert (well.transport, well.cause, well.failed) == ("rdma", "unknown", True)


def test_lines_without_anything_of_nccl_are_not_handed_on() -> None:
    nccl = (BATCH + 7, b"spark-1:1:1 [0] NCCL INFO Using network IB\n")
    lines = [(n, b"INFO a request\n") for n in range(1, BATCH + 1)]
    handed = list(VllmLines().passing("x", [*lines, nccl, (BATCH + 8, b"INFO\n")]))
    assert handed == [nccl, (BATCH + 8, b"INFO\n")]
