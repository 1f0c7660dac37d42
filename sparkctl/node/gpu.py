"""The GPU, as nvidia-smi prints it; memory is [N/A] on GB10 (seen on DGX Sparks)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node.subprocesses import ExitError, Started, start

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Json

TIMEOUT = 5.0  # seconds: a healthy one takes 0.1; a wedged driver never answers
# All of them are older than any driver that knows a GB10.
READINGS = {
    "clocks.sm": "clock",
    "clocks.max.sm": "clock_max",
    "utilization.gpu": "utilization",
    "power.draw": "power",
    "temperature.gpu": "temperature",
}
HIGHEST = 1e6  # of a reading; drivers print 2^32 - 1 and the like for what they do not know
NAMES = ("name", "driver_version")
REASONS = "clocks_event_reasons.active"  # since driver 535: why the clock is not higher, as bits
# What to ask, and what instead where a driver does not know a field, which fails the whole query.
QUERIES = ((*NAMES, *READINGS, REASONS), (*NAMES, *READINGS), NAMES)
# What nvidia-smi prints when it cannot answer, and why: all of it means one of these.
PROBLEMS = (
    ("driver/library version mismatch", "mismatch"),
    ("couldn't communicate with the nvidia driver", "unloaded"),
    ("driver not loaded", "unloaded"),
    ("no devices were found", "no-devices"),
)


class Rows(NamedTuple):
    """The fields of each line; or why there are none, in words and as a kind."""

    rows: list[list[str]]
    error: str | None = None
    problem: str | None = None


def begin() -> tuple[Started, Started]:
    """Start both queries; `gpu` reads them."""
    apps = ["nvidia-smi", "--query-compute-apps=pid,process_name", "--format=csv,noheader"]
    return _gpus(*QUERIES[0]), start(apps)


def _gpus(*fields: str) -> Started:
    wanted = f"--query-gpu={','.join(fields)}"
    return start(["nvidia-smi", wanted, "--format=csv,noheader,nounits"])


def listed() -> Rows:
    """The GPUs that nvidia-smi lists, a row of text each."""
    return _rows(start(["nvidia-smi", "-L"]), TIMEOUT)


def gpu(started: tuple[Started, Started]) -> Answer:
    """`gpus` (name, driver and readings, null where nvidia-smi has none; the list is null where it
    is missing, fails or hangs, with `gpu_error` and its kind, `gpu_problem`) and `gpu_processes`
    (pid, name; null if unknown).
    """
    listed = _rows(started[0], TIMEOUT)
    for fields in QUERIES[1:]:
        if listed.problem == "failed":
            listed = _rows(_gpus(*fields), TIMEOUT)
    apps = _rows(started[1], 0.1 if listed.error else TIMEOUT)
    return {
        "gpus": None if listed.error else [_gpu(row) for row in listed.rows if row[1:]],
        "gpu_error": listed.error,
        "gpu_problem": listed.problem,
        "gpu_processes": None
        if apps.error
        else [
            {"pid": int(pid), "name": ", ".join(name)}
            for pid, *name in apps.rows
            if name and pid.isdigit()
        ],
    }


def _gpu(row: list[str]) -> dict[str, Json]:
    """A GPU without the readings that are no numbers, as [N/A] is not."""
    name, driver, *values = row
    found: dict[str, Json] = {"name": name, "driver": driver}
    for index, key in enumerate(READINGS.values()):
        try:
            number = float(values[index])
        except (ValueError, IndexError):
            continue
        if 0 <= number <= HIGHEST:
            found[key] = number
    if re.fullmatch("0x[0-9a-fA-F]{1,16}", "".join(values[len(READINGS) :])):
        found["reasons"] = int(values[len(READINGS)], 16)
    return found


def _rows(program: Started, timeout: float) -> Rows:
    try:
        printed = program.finish(timeout)
    except FileNotFoundError as error:
        return Rows([], str(error), "absent")
    except TimeoutError as error:
        return Rows([], str(error), "timeout")
    except ExitError as error:
        return Rows([], *_why(error))
    except OSError as error:
        return Rows([], str(error), "failed")
    return Rows([[field.strip() for field in line.split(",")] for line in printed.splitlines()])


def _why(error: ExitError) -> tuple[str, str]:
    """The line that says why nvidia-smi failed, and its kind: it may print others after it."""
    for line in error.printed.splitlines():
        for text, problem in PROBLEMS:
            if text in line.lower():
                return line.strip(), problem
    return str(error), "failed"
