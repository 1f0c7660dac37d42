"""host.gpu, host.gpu-clocks and host.kernel-log: what is wrong with a GPU, and its cure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.answers import listener
from tests.unit.doctorview import examined, healthy
from tests.unit.runningpair import ONE, running

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

TWO = "spark-2"
LATE = 1_790_000_000.0


def found(answers: Answers, check: str) -> list[Finding]:
    return [f for f in examined(answers, check) if f.node == TWO]


@pytest.mark.parametrize(
    ("problem", "code", "cure"),
    [
        ("absent", "nvidia-smi-missing", "install the driver"),
        ("timeout", "driver-hangs", "reboot the node"),
        ("mismatch", "driver-mismatch", "reboot the node"),
        ("unloaded", "driver-not-loaded", "load it"),
        ("no-devices", "no-gpu-found", "power the node off"),
        ("failed", "nvidia-smi-failed", "may show why"),
        (None, "nvidia-smi-failed", "may show why"),
    ],
)
def test_each_reason_has_its_own_code_and_cure(problem: str | None, code: str, cure: str) -> None:
    answers = healthy()
    gpu = {"gpus": None, "gpu_error": "why", "gpu_problem": problem, "gpu_processes": None}
    answers.facts[TWO]["gpu"] = gpu
    (finding,) = found(answers, "host.gpu")
    assert (finding.severity.value, finding.code) == ("FAIL", code)
    assert finding.evidence[0].got == "why"
    assert finding.fix
    assert cure in finding.fix.text
    assert ("hang" in finding.summary) == (problem == "timeout")


@pytest.mark.parametrize(
    ("readings", "severity", "code"),
    [
        ({"clock": 208, "utilization": 0}, "INFO", "no-load"),
        ({"clock": 611, "utilization": 79}, "INFO", "no-load"),
        ({"clock": 611, "utilization": 80}, "WARN", "low-clocks"),
        ({"clock": 850, "utilization": 96, "power": 20}, "WARN", "low-clocks"),
        ({"clock": 611, "utilization": 96, "clock_max": None}, "WARN", "low-clocks"),
        # All clocks of such a GPU are low.
        ({"clock": 900, "utilization": 96, "clock_max": 1410}, "OK", "ok"),
        ({"clock": 1000, "utilization": 96, "power": 61}, "OK", "ok"),
        ({"clock": 2411, "utilization": 96, "power": 61}, "OK", "ok"),
        ({"clock": 2411, "utilization": 96, "power": 29.9}, "WARN", "spinning"),
        ({"clock": 2411, "utilization": 89, "power": 22}, "OK", "ok"),
        ({"clock": 1999, "utilization": 96, "power": 22}, "WARN", "spinning"),
        # Under a cap that was set, real work draws little too.
        ({"clock": 1400, "utilization": 96, "power": 26}, "OK", "ok"),
        ({"clock": 2411, "utilization": 96, "power": None}, "OK", "ok"),
        ({"clock": 2411, "utilization": 96, "power": 22, "name": "NVIDIA L4"}, "OK", "ok"),
        ({"clock": None, "utilization": 96}, "UNKNOWN", "unread"),
        ({"clock": 2411, "utilization": 1e300}, "UNKNOWN", "unread"),
        ({"clock": -1, "utilization": 96}, "UNKNOWN", "unread"),
        ({"clock": 611, "utilization": None}, "UNKNOWN", "unread"),
    ],
)
def test_a_clock_is_judged_under_load(readings: dict[str, Any], severity: str, code: str) -> None:
    answers = healthy()
    answers.facts[TWO]["gpu"]["gpus"][0] |= {"power": None, **readings}
    (finding,) = found(answers, "host.gpu-clocks")
    assert (finding.severity.value, finding.code) == (severity, code)


@pytest.mark.parametrize(
    ("listens", "severity", "code"), [(False, "INFO", "starting"), (True, "WARN", "spinning")]
)
def test_a_rank_waits_for_others_while_vllm_starts(listens: bool, severity: str, code: str) -> None:
    answers = running()
    answers.facts[TWO]["gpu"]["gpus"][0] |= {"clock": 2411, "utilization": 96, "power": 22}
    if listens:
        port = answers.inventory.vllm.port
        answers.facts[ONE]["ports"].append(listener(port, cluster=answers.inventory.cluster))
    (finding,) = found(answers, "host.gpu-clocks")
    assert (finding.severity.value, finding.code) == (severity, code)


@pytest.mark.parametrize(
    ("temperature", "cure"), [(52, "unplug"), (87, "cool it"), (None, "unplug")]
)
def test_heat_has_another_cure_than_power(temperature: int | None, cure: str) -> None:
    answers = healthy()
    readings = {"clock": 611, "utilization": 96, "power": 24.3, "temperature": temperature}
    answers.facts[TWO]["gpu"]["gpus"][0] |= readings
    (finding,) = found(answers, "host.gpu-clocks")
    assert finding.fix
    assert cure in finding.fix.text
    assert finding.summary.startswith(
        "the clock of the GPU is low under load: 611 MHz, 96 % busy, 24 W"
    )


@pytest.mark.parametrize(
    ("bits", "reasons", "cure"),
    [
        (0x4, ["the power cap"], "unplug"),
        (0x88, ["hardware slowdown", "power brake (hardware)"], "unplug"),
        (0x20, ["heat"], "cool it"),
        (0x2, ["a clock that was set"], "lift it"),
        (0x22, ["a clock that was set", "heat"], "cool it"),
        (0x1, [], "unplug"),
        (None, [], "unplug"),
    ],
)
def test_what_limits_the_clock_is_shown(bits: int | None, reasons: list[str], cure: str) -> None:
    answers = healthy()
    readings = {"clock": 611, "utilization": 96, "temperature": 52, "reasons": bits}
    answers.facts[TWO]["gpu"]["gpus"][0] |= readings
    (finding,) = found(answers, "host.gpu-clocks")
    assert finding.data["reasons"] == reasons
    assert all(reason in finding.evidence[0].got for reason in reasons)
    assert finding.fix
    assert cure in finding.fix.text


def test_of_two_gpus_the_slow_one_is_named() -> None:
    answers = healthy()
    gpus = answers.facts[TWO]["gpu"]["gpus"]
    gpus.append({**gpus[0], "clock": 611, "utilization": 96, "power": 24.3})
    *_, finding = found(answers, "host.gpu-clocks")
    assert finding.summary.startswith("the clock of GPU 1 is low under load")
    assert finding.data["gpu"] == 1


def test_the_clocks_of_a_gpu_that_does_not_answer_are_unknown() -> None:
    answers = healthy()
    answers.facts[TWO]["gpu"] |= {"gpus": None, "gpu_error": "x"}
    unknown = [*found(answers, "host.gpu-clocks"), *found(answers, "host.driver")]
    assert [f.severity.value for f in unknown] == ["UNKNOWN", "UNKNOWN"]
    assert {f.summary for f in unknown} == {"nvidia-smi lists no GPU, see host.gpu"}


def line(text: str = "NVRM: x", xid: int | None = None, *, memory: bool = False) -> dict[str, Any]:
    return {"at": LATE, "text": text, "xid": xid, "no_memory": memory, "count": 1}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], [("OK", "ok")]),
        ([line(memory=True)], [("WARN", "nvrm-no-memory")]),
        ([line(xid=79)], [("WARN", "xid")]),
        ([line(xid=31)], [("INFO", "xid-program")]),
        ([line(xid=45), line(xid=43)], [("INFO", "xid-program")]),
        (
            [line(xid=13), line(xid=119), line(memory=True)],
            [("WARN", "nvrm-no-memory"), ("WARN", "xid"), ("INFO", "xid-program")],
        ),
    ],
)
def test_what_the_driver_reported(
    lines: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    answers = healthy()
    answers.facts[TWO]["kernel_log"] |= {"lines": lines, "count": len(lines)}
    findings = found(answers, "host.kernel-log")
    assert sorted((f.severity.value, f.code) for f in findings) == sorted(expected)


def test_the_line_its_number_and_its_time_are_shown() -> None:
    answers = healthy()
    text = "NVRM: Xid (PCI:000f:01:00): 79, GPU has fallen off the bus."
    lines = [{**line(text, 79), "count": 40}, line(text, 119)]
    answers.facts[TWO]["kernel_log"] |= {"lines": lines, "count": 99}
    (finding,) = found(answers, "host.kernel-log")
    assert finding.summary == (
        "the GPU reports Xid 79, 119, 41 lines, the last at 2026-09-21 14:13:20 UTC"
    )
    assert finding.data == {"xid": ["79", "119"], "last": LATE}
    assert finding.evidence[0].got == text


def test_a_log_that_this_user_may_not_read_is_unknown_and_the_command_is_given() -> None:
    answers = healthy()
    denied = {"source": None, "error": "/dev/kmsg: Operation not permitted", "count": 0}
    answers.facts[TWO]["kernel_log"] |= {**denied, "complete": False}
    (finding,) = found(answers, "host.kernel-log")
    assert (finding.severity.value, finding.code) == ("UNKNOWN", "log-unread")
    assert finding.fix
    assert finding.fix.to_paste[0].startswith("sudo dmesg")
