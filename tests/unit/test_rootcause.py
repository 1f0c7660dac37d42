"""The root cause of a failed start: the same for up, doctor and doctor --log."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sparkctl.doctor import logview
from sparkctl.doctor.logs import read_logs
from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.diagnosis import explain_start, explain_vllm
from sparkctl.engines.vllm.errorlevel import Level
from sparkctl.engines.vllm.progress import Progress
from sparkctl.engines.vllm.rootcause import MOST_ERRORS, trace
from sparkctl.facts.calls import NCCL_LINES
from sparkctl.facts.decode import decode
from sparkctl.node import nccllines
from tests.unit.nccllogs import CASES
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.doctor.looks import EngineLog

LOGS = Path(__file__).parents[1] / "fixtures/vllm"
STARTS = (LOGS / "gpu-served-then-hung.log").read_text().split("== sparkctl ")[1:]
HEADER = "== sparkctl 2026-11-21 14:45:00: vllm serve /models/mini\n"
STARTING = (
    "(APIServer pid=10) INFO 11-21 14:45:16 [api_utils.py:273] non-default args: {'model': '/m'}\n"
    "(EngineCore pid=20) INFO 11-21 14:45:34 [core.py:116] Initializing a V1 LLM engine (v0.26.0)\n"
)
READY = "(APIServer pid=10) INFO:     Application startup complete.\n"
API = "(APIServer pid=10) "
CORE = "(EngineCore pid=20) "
ERROR = "ERROR 11-21 14:46:00 [core.py:1332] "
RANK0 = "(EngineCore pid=20) (RayWorkerProc pid=30) "
RANK1 = "(EngineCore pid=20) (RayWorkerProc pid=40, ip=192.168.100.12) "
TRACE = (
    "Traceback (most recent call last):",
    '  File "/v/core.py", line 1, in run',
    "    raise ValueError('x: y')",
    "    ^^^^^^^^^^^^^^^^^^^^^^^^",
)
DIRECT = "The above exception was the direct cause of the following exception:"
DURING = "During handling of the above exception, another exception occurred:"
NO_FLASHINFER = "ModuleNotFoundError: No module named 'flashinfer'"
OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
PEER = (
    "torch.distributed.DistBackendError: NCCL error in: /x/NCCLUtils.cpp:93, remote process exited"
    " or there was a network error, NCCL version 2.28.9"
)
POINTER = "RuntimeError: Engine core initialization failed. See root cause above."
LOST = (
    "(EngineCore pid=20) (raylet) A worker died or was killed while executing a task by an"
    " unexpected system error. Lease ID: 05 Worker ID: de Node ID: 53 Worker IP address:"
    " 192.168.100.12 Worker port: 12918 Worker PID: 40 Worker exit type: SYSTEM_ERROR Worker exit"
    " detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common"
    " causes include: (1) the process was killed by the OOM killer due to high memory usage, (3)"
    " the worker crashed unexpectedly due to SIGSEGV or another unexpected error.\n"
)


def said(prefix: str, *lines: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in lines)


def raised(prefix: str, *errors: str) -> str:
    """A chain of tracebacks; the errors alternate with what links them."""
    lines: list[str] = []
    for error in errors:
        lines += ["", error, ""] if error in (DIRECT, DURING) else [*TRACE, error]
    return said(prefix, *lines)


END = said(CORE + ERROR, "EngineCore failed to start.") + raised(API, POINTER)
NOISE = raised(
    CORE + ERROR,
    "ray.exceptions.ActorHandleNotFoundError: Failed to find a corresponding actor handle for 75d",
    DIRECT,
    "ray.exceptions.ActorHandleNotFoundError: ActorHandle objects are not valid across sessions.",
)


class Case(NamedTuple):
    """A log, and what is known of its failure."""

    log: str
    code: str | None
    text: str
    source: str | None = None


BAR = "Loading safetensors checkpoint shards: 50% Completed | 13/26\r"
BROKEN = "".join(f"{RANK1}{x}\n" for x in CASES["no-route"][0].popitem()[1].splitlines())
CASES_OF_LOGS = {
    "real, import failed": Case(
        (LOGS / "gpu-import-failed.log").read_text(),
        "module-missing",
        NO_FLASHINFER,
        "RayWorkerProc pid=679, ip=192.168.100.12",
    ),
    "real, weights": Case(
        (LOGS / "serve-failed.log").read_text(),
        "broken-weights",
        "ValueError: Following weights",
        "RayWorkerProc pid=251, ip=192.168.177.12",
    ),
    "real, ended after a hang": Case(
        HEADER + STARTS[0], "rank-hangs", "TimeoutError: RPC call to sample_tokens timed out."
    ),
    "real, a rank was killed": Case(
        HEADER + STARTS[0] + HEADER + STARTS[1],
        "rank-died",
        "A worker died or was killed: SYSTEM_ERROR: Worker unexpectedly exits",
        "pid=752, ip=192.168.100.12",
    ),
    "far above what follows": Case(
        STARTING + raised(RANK1, NO_FLASHINFER) + NOISE * 400 + END,
        "module-missing",
        NO_FLASHINFER,
        "RayWorkerProc pid=40, ip=192.168.100.12",
    ),
    "the first of a chain": Case(
        STARTING + raised(CORE + ERROR, NO_FLASHINFER, DIRECT, "RuntimeError: no backend") + END,
        "module-missing",
        NO_FLASHINFER,
    ),
    "a chain whose first has no message": Case(
        STARTING + raised(CORE, "AssertionError", DIRECT, "RuntimeError: rank 3 is odd") + END,
        None,
        "RuntimeError: rank 3 is odd",
    ),
    "an ordinary exception that was handled": Case(
        STARTING + raised(CORE, "KeyError: 'm2'", DURING, "ValueError: unknown model type") + END,
        None,
        "ValueError: unknown model type",
    ),
    "handled, with a known cause": Case(
        STARTING + raised(CORE, OUT_OF_MEMORY, DURING, "RuntimeError: cleaning up") + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
    ),
    "ranks that alternate": Case(
        STARTING
        + "".join(
            a + b
            for a, b in zip(
                raised(RANK0, PEER).splitlines(keepends=True),
                raised(RANK1, OUT_OF_MEMORY).splitlines(keepends=True),
                strict=True,
            )
        )
        + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
        "RayWorkerProc pid=40, ip=192.168.100.12",
    ),
    "a reaction comes first": Case(
        STARTING
        + raised(RANK0, PEER + "\nncclRemoteError: A call failed possibly due to a network error")
        + raised(RANK0, "ConnectionResetError: [Errno 104] Connection reset by peer")
        + raised(RANK1, OUT_OF_MEMORY)
        + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
    ),
    "a death after the reactions": Case(
        STARTING + raised(RANK0, PEER) + LOST + END,
        "rank-died",
        "A worker died or was killed: SYSTEM_ERROR: Worker unexpectedly exits",
        "pid=40, ip=192.168.100.12",
    ),
    "only a reaction": Case(STARTING + raised(RANK0, PEER) + END, "nccl-error", PEER),
    "a quoted error of a worker": Case(
        STARTING
        + raised(
            CORE + ERROR,
            f"RuntimeError: Worker failed with error '{OUT_OF_MEMORY}', please check the stack"
            " trace above for the root cause",
        )
        + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
    ),
    "only what points at it": Case(STARTING + END, None, "EngineCore failed to start."),
    "arguments": Case(
        HEADER + "usage: vllm serve [-h]\nvllm serve: error: unrecognized arguments: --x\n",
        "vllm-arguments",
        "vllm serve: error: unrecognized arguments: --x",
    ),
    "pydantic": Case(
        STARTING
        + raised(
            API,
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        )
        + said(
            API,
            "  Value error, User-specified max_model_len (196608) is greater than the derived"
            " max_model_len (max_position_embeddings=131072) [type=value_error]",
            "    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
        ),
        "max-model-len",
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value",
    ),
    "a crash in native code": Case(
        STARTING + said(RANK1, "Fatal Python error: Segmentation fault", "") + LOST + END,
        "native-crash",
        "Fatal Python error: Segmentation fault",
        "RayWorkerProc pid=40, ip=192.168.100.12",
    ),
    "the heap": Case(
        STARTING + said(RANK1, "double free or corruption (!prev)") + LOST + END,
        "native-crash",
        "double free or corruption (!prev)",
    ),
    "thrown in C++": Case(
        STARTING
        + said(
            RANK1,
            "terminate called after throwing an instance of 'c10::AcceleratorError'",
            "  what():  CUDA error: no kernel image is available for execution on the device",
        )
        + LOST
        + END,
        "kernel-for-other-gpu",
        "terminate called after throwing an instance of 'c10::AcceleratorError' what():  CUDA",
    ),
    "killed": Case(
        STARTING + said(CORE + ERROR, "Worker proc VllmWorker-1 died, exit_code -9") + END,
        "rank-killed",
        "Worker proc VllmWorker-1 died, exit_code -9",
    ),
    "Ray's memory monitor": Case(
        STARTING
        + said(CORE, "(raylet) 1 Workers (tasks / actors) killed due to memory pressure (OOM)")
        + raised(CORE, "ray.exceptions.ActorDiedError: The actor died unexpectedly before x.")
        + END,
        "ray-memory-monitor",
        "1 Workers (tasks / actors) killed due to memory pressure (OOM)",
    ),
    "the last start counts": Case(
        HEADER
        + STARTING
        + raised(RANK1, OUT_OF_MEMORY)
        + END
        + HEADER
        + STARTING
        + raised(RANK1, NO_FLASHINFER)
        + END,
        "module-missing",
        NO_FLASHINFER,
    ),
    "the last start without a header": Case(
        STARTING
        + raised(RANK1, OUT_OF_MEMORY)
        + END
        + (STARTING + raised(RANK1, NO_FLASHINFER) + END).replace("pid=10", "pid=110"),
        "module-missing",
        NO_FLASHINFER,
    ),
    "in colours": Case(
        STARTING
        + raised(
            "\x1b[0;36m(EngineCore pid=20)\x1b[0;0m \x1b[31mERROR\x1b[0m 11-21 14:46:00"
            " [core.py:1332] ",
            OUT_OF_MEMORY,
        )
        + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
        "EngineCore pid=20",
    ),
    "pasted, repeated": Case(
        STARTING
        + said(RANK1.replace(")", ")[0m", 1), f"{NO_FLASHINFER}[32m [repeated 3x across cluster]")
        + END,
        "module-missing",
        NO_FLASHINFER,
    ),
    "after a progress bar": Case(
        STARTING + BAR * 9 + f"{RANK1}{OUT_OF_MEMORY}\n" + END, "cuda-out-of-memory", OUT_OF_MEMORY
    ),
    "an error that its process survived": Case(
        STARTING
        + raised(CORE + ERROR, NO_FLASHINFER)
        + said(CORE, "INFO 11-21 14:46:01 [x.py:1] Available KV cache memory: 1.0 GiB")
        + raised(CORE + ERROR, OUT_OF_MEMORY)
        + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
    ),
    "ignored in a destructor": Case(
        STARTING
        + said(CORE, "Exception ignored in: <function X.__del__ at 0x7f>")
        + raised(CORE, NO_FLASHINFER)
        + raised(CORE, OUT_OF_MEMORY)
        + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
    ),
    "quoted in a warning": Case(
        STARTING
        + said(CORE, f"WARNING 11-21 14:46:00 [x.py:1] not used: {NO_FLASHINFER}")
        + raised(RANK1, OUT_OF_MEMORY)
        + END,
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
    ),
    "requests' errors before the engine dies": Case(
        STARTING
        + READY
        + raised(API + ERROR, "ValueError: max_model_len is 5, got 9") * (MOST_ERRORS + 1)
        + raised(CORE + ERROR, OUT_OF_MEMORY)
        + said(CORE + ERROR, "EngineCore encountered a fatal error.")
        + raised(API + ERROR, "vllm.v1.engine.exceptions.EngineDeadError: EngineCore died"),
        "cuda-out-of-memory",
        OUT_OF_MEMORY,
    ),
    "NCCL's own lines": Case(
        STARTING
        + BROKEN
        + raised(RANK1, "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=x)")
        + END,
        "no-route",
        "RuntimeError: NCCL error: unhandled system error",
    ),
}


def by_up(text: str) -> str | None:
    progress = Progress()
    progress.feed(text.rpartition("== sparkctl ")[2])
    known = explain_start(progress, waited=False)
    return known.code if known else None


def fetched(path: Path) -> EngineLog:
    """What doctor fetches of a log."""
    answer: Any = nccllines.lines({"path": str(path)})

    class Session:
        @staticmethod
        def ask(*_: Any, **__: Any) -> Any:
            return decode(NCCL_LINES, json.dumps(answer).encode(), "spark-1", "x")

    head = parse(GOOD.encode(), "x").head
    return logview.read(Session(), [head], "vllm", "vLLM")  # type: ignore[arg-type]  # a stub


def by_doctor(path: Path) -> str | None:
    log = fetched(path)
    known = explain_vllm(log.traced.root, log.verdict)
    return known.code if known else None


def by_log(path: Path) -> str | None:
    (found,) = [f for f in read_logs([str(path)]).findings if f.cause == "vllm"]
    assert found.severity == "FAIL" or found.code != "vllm"
    return None if found.code == "vllm" else found.code


@pytest.mark.parametrize("case", CASES_OF_LOGS.values(), ids=CASES_OF_LOGS)
def test_up_doctor_and_doctor_log_name_the_same_cause(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_bytes(case.log.encode())
    assert (by_up(case.log), by_doctor(path), by_log(path)) == (case.code,) * 3


@pytest.mark.parametrize("case", CASES_OF_LOGS.values(), ids=CASES_OF_LOGS)
def test_the_root_cause_is_a_line_of_the_process_that_failed(case: Case, tmp_path: Path) -> None:
    lines = case.log.split("\n")
    root = trace(enumerate(lines, 1)).root
    assert root
    assert str(root).startswith(case.text)
    assert root.text.partition("\n")[0].partition(": ")[0] in lines[root.line - 1]
    if case.source is not None:
        assert root.source == case.source
    path = tmp_path / "vllm.log"
    path.write_bytes(case.log.encode())
    assert fetched(path).traced.root == root


def test_the_same_error_of_other_ranks_is_named_once_for_each() -> None:
    text = (LOGS / "gpu-import-failed.log").read_text()
    same = trace(enumerate(text.split("\n"), 1)).same
    assert [(root.line, root.source) for root in same] == [
        (60, "RayWorkerProc pid=679, ip=192.168.100.12"),
        (93, "RayWorkerProc pid=680, ip=192.168.100.12"),
    ]


@pytest.mark.parametrize("name", ["serve-tp2.log", "gpu-served-then-hung.log"])
def test_a_start_that_went_well_has_no_cause(name: str, tmp_path: Path) -> None:
    text = (LOGS / name).read_text()
    assert by_up(text) is None
    assert trace(enumerate(text.split("\n"), 1)).root is None
    path = tmp_path / "vllm.log"
    path.write_text(text)
    assert by_doctor(path) is None
    assert [f for f in read_logs([str(path)]).findings if f.code == "vllm"] == []


NOISE_BETWEEN = (
    '(APIServer pid=11) INFO:     127.0.0.1:5 - "GET /metrics HTTP/1.1" 200 OK',
    f"{RANK0}spark-1:30:30 [0] NCCL INFO Using network Socket",
    f"{RANK0}spark-(Worker pid=30) WARNING 11-21 14:53:22 [x.py:92] OSError: is not used",
    "(Worker pid=31)   File 'x.py', line 3, in <module>",
    "(Worker pid=31) ",
    "cut off)",
)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", [name for name in CASES_OF_LOGS if name.startswith("real")])
def test_lines_of_others_between_its_own_change_no_cause(name: str, seed: int) -> None:
    chance, lines = random.Random(seed), CASES_OF_LOGS[name].log.split("\n")
    noisy = [x for line in lines for x in (*chance.choices(NOISE_BETWEEN, k=seed % 3), line)]
    torn = {n for n in range(len(noisy)) if noisy[n] in NOISE_BETWEEN and chance.random() < 0.2}
    noisy = [
        line[: chance.randint(0, len(line))] if n in torn else line for n, line in enumerate(noisy)
    ]
    root, expected = (trace(enumerate(text, 1)).root for text in (noisy, lines))
    assert root
    assert expected
    assert root._replace(line=0) == expected._replace(line=0), f"seed {seed}"


def test_memory_is_bounded_whatever_the_log_repeats() -> None:
    tracer = trace(
        (n, f"(Worker pid={n}) ValueError: {'x' * 9000}{n}") for n in range(MOST_ERRORS * 3)
    )
    assert len(tracer.errors) <= MOST_ERRORS
    assert max(len(root.text) for root in tracer.errors) < 9000
    assert tracer.root
    assert (tracer.root.line, tracer.root.level) == (0, Level.CAUSE)


def test_the_kept_log_of_a_long_start_has_the_root_cause() -> None:
    progress = Progress()
    progress.feed(STARTING + "INFO x\n" * 5000 + raised(RANK1, NO_FLASHINFER) + NOISE * 2000 + END)
    assert len(progress.lines) < 25_000
    kept = "\n".join([*progress.lines, ""])
    assert progress.lines[0] in STARTING
    root = trace(enumerate(kept.split("\n"), 1)).root
    assert root
    assert (root.text, root.source) == (NO_FLASHINFER, "RayWorkerProc pid=40, ip=192.168.100.12")
