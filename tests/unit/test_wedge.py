"""An engine that hangs logs no error: its stalls after the last token are the finding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparkctl.doctor.logs import read_logs
from sparkctl.engines.vllm.rootcause import Wedge, trace
from sparkctl.node import nccllines
from tests.unit.doctorview import examined
from tests.unit.runningpair import ONE, only, running

HUNG = Path(__file__).parents[1] / "fixtures/vllm/gpu-served-then-hung.log"
CORE = "(EngineCore pid=20) "
STALL = (
    f"{CORE}INFO 11-21 14:54:47 [shm_broadcast.py:705] No available shared memory broadcast block"
    " found in 60 seconds. This typically happens when some processes are hanging\n"
)
READY = "(APIServer pid=10) INFO:     Application startup complete.\n"
COUNTED = (
    "(APIServer pid=10) INFO 11-21 14:53:50 [loggers.py:310] Engine 000: Avg prompt throughput:"
    " 153.6 tokens/s, Avg generation throughput: {} tokens/s, Running: 1 reqs, Waiting: 0 reqs\n"
)
TOKENS, NONE = COUNTED.format("38.4"), COUNTED.format("0.0").replace("153.6", "0.0")
COMPILED = f"{CORE}INFO 11-21 14:53:50 [x.py:1] torch.compile took 31.0 s in total\n"
DIED = f"{CORE}ERROR 11-21 14:53:50 [core.py:1332] EngineCore encountered a fatal error.\n"
HEADER = "== sparkctl 2026-11-21 14:45:00: vllm serve /models/mini\n"
REQUEST = '(APIServer pid=10) INFO:     127.0.0.1:5 - "GET /v1/models HTTP/1.1" 200 OK\n'


STALLS = [STALL.replace("14:54:47", time) for time in ("14:54:47", "14:55:48", "14:56:48")]
OTHER = [stall.replace("(EngineCore pid=20)", "(EngineCore_DP1 pid=21)") for stall in STALLS]
DONE = '(APIServer pid=10) INFO:     127.0.0.1:5 - "POST /v1/completions HTTP/1.1" 200 OK\n'


def wedge(text: str) -> Wedge | None:
    return trace(enumerate(text.split("\n"), 1)).wedge


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (READY + TOKENS + STALL * 3, 180),
        (READY + STALL * 3 + NONE + REQUEST, 180),
        (TOKENS + STALL * 2, 120),  # the log's beginning is missing
        (NONE + STALL, 60),
        (READY + STALL + TOKENS + STALL * 2, 120),  # the first one ended
        (READY + "".join(STALLS), 180),
        (READY + STALLS[0] + OTHER[0] + STALLS[1] + OTHER[1], 120),  # of two at once
        # Without throughput lines: the first wait ended, as the second one began hours later.
        (READY + STALLS[0] + DONE * 9 + STALLS[0].replace(" 14:", " 18:"), 60),
        (READY + STALLS[0] + DONE * 9 + "".join(STALLS).replace("11-21", "11-23"), 180),
        (READY + STALL.replace("11-21", "19-41") * 2, 120),  # torn
        (READY + (REQUEST + STALL.replace("in 60 seconds", "in 5 seconds")) * 30, 150),
    ],
)
def test_stalls_after_the_last_token_are_a_wedge(text: str, seconds: int) -> None:
    found = wedge(text)
    assert found
    assert found.seconds == seconds
    assert "No available shared memory" in text.split("\n")[found.line - 1]


@pytest.mark.parametrize(
    "text",
    [
        STALL * 3,  # of a start that compiles or captures graphs
        STALL * 3 + READY,
        READY + STALL * 3 + TOKENS,
        READY + STALL * 3 + COUNTED.format("0.0"),  # of a model that pools
        READY + STALL * 3 + HEADER,
        READY + STALL * 3 + DIED,  # which is the failure
        READY + TOKENS,
    ],
)
def test_what_is_no_wedge(text: str) -> None:
    assert wedge(text) is None


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (READY + STALL, [("engine-wedged", "WARN")]),
        (READY + STALL * 2, [("engine-wedged", "FAIL")]),
        (STALL, [("rank-stalls", "WARN")]),
        (STALL + COMPILED, []),
        (READY + STALL * 2 + DIED, [("vllm", "FAIL")]),
    ],
)
def test_a_log_with_stalls(text: str, codes: list[tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(text)
    found = [f for f in read_logs([str(path)]).findings if f.cause == "vllm"]
    assert [(f.code, f.severity) for f in found] == codes


def test_a_stall_far_below_the_start_of_a_long_log_is_found(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(READY + (REQUEST * 400 + TOKENS) * 10 + (REQUEST * 400 + STALL) * 3)
    (found,) = [f for f in read_logs([str(path)]).findings if f.cause == "vllm"]
    assert (found.code, found.data["seconds"]) == ("engine-wedged", 180)
    assert found.evidence[0].line == 1 + 4010 + 401


def test_the_real_wedge_is_found_in_the_file() -> None:
    verdict = read_logs([str(HUNG)])
    (found,) = [f for f in verdict.findings if f.cause == "vllm"]
    assert (found.code, found.severity, found.data["seconds"]) == ("engine-wedged", "FAIL", 180)
    assert found.evidence[0].line == 1007
    assert "py-spy" in found.fix.text
    assert found.fix.commands


def hung(**changed: Any) -> Any:
    """The serving pair with the real log of an engine that hangs, whose API answers."""
    answers = running()
    fetched: Any = nccllines.lines({"path": str(HUNG)})
    answers.looks["log"][ONE] |= {
        "tail": fetched["tail"],
        "errors": tuple(fetched["errors"]),
    }
    answers.looks["generation"][ONE] |= {"tokens": 0, "error": "no completion", **changed}
    return answers


def test_doctor_reports_the_real_wedge() -> None:
    finding = only(hung(), "running.engine")
    assert (finding.severity.value, finding.node, finding.code) == ("FAIL", ONE, "engine-wedged")
    assert (finding.data["seconds"], finding.data["line"]) == (180, 1007)
    assert finding.fix
    assert "py-spy" in finding.fix.text
    assert finding.fix.commands[-2:] == ("sparkctl down", "sparkctl up")


def test_an_engine_that_generates_now_hangs_no_more() -> None:
    findings = examined(hung(tokens=4, error=None), "running.engine")
    assert [f.severity.value for f in findings] == ["OK"]


def test_a_log_that_could_not_be_read_shows_nothing() -> None:
    answers = hung()
    del answers.looks["log"]
    assert only(answers, "running.engine").severity.value == "UNKNOWN"
    answers = hung()
    del answers.looks["generation"]
    assert only(answers, "running.engine").code == "engine-wedged"


@pytest.mark.parametrize(("last", "seconds"), [("", 180), (TOKENS, None)])
def test_stalls_far_above_the_last_lines_of_a_busy_api_are_known(
    last: str, seconds: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(HEADER + READY + "".join(s + REQUEST * 500 for s in STALLS) + last + REQUEST)
    fetched: Any = nccllines.lines({"path": str(path)})
    found = trace((n, text) for n, text in fetched["errors"]).wedge
    assert (found and found.seconds) == seconds
