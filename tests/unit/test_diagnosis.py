"""What explains a failed start: the failure in a log that has much else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.vllm.diagnosis import explain_ray, explain_start
from sparkctl.engines.vllm.failures import CRASH, NCCL, RAY, REMEDIES, VLLM, WAITING
from sparkctl.engines.vllm.progress import Progress
from sparkctl.fabric.nccllog.advice import ADVICE
from tests.unit.nccllogs import (
    CASES,
    CONNECTED,
    MODIFY,
    ON_IB,
    REAL,
    USING,
    V4,
    VIA_IB,
    Warn,
    process,
)

if TYPE_CHECKING:
    from sparkctl.engines.explanation import Explanation

LOGS = Path(__file__).parents[1] / "fixtures/vllm"
WHOLE = (LOGS / "serve-tp2.log").read_text()
# As long as the engine's arguments and Ray's placement group are among the last lines.
EARLY = WHOLE[: WHOLE.index("Starting to load model")].rpartition("\n")[0] + "\n"
RANK = "(RayWorkerProc pid=93, ip=192.168.177.12) "
ERROR = RANK + "(Worker_TP1 pid=93) ERROR 11-21 03:30:53 [multiproc_executor.py:687] "


def cause(log: str, *, waited: bool = False) -> str | None:
    """The code of the failure that ended a vLLM with this log."""
    found = explained(log, waited=waited)
    return found.code if found else None


def explained(log: str, *, waited: bool = False) -> Explanation | None:
    progress = Progress()
    progress.feed(log)
    return explain_start(progress, waited=waited)


def test_each_known_failure_has_a_remedy() -> None:
    codes = {code for table in (RAY, VLLM, WAITING, CRASH, NCCL) for _, code in table}
    assert codes == REMEDIES.keys()


def test_a_start_without_an_error_is_not_explained() -> None:
    assert cause(EARLY) is None
    assert cause(WHOLE) is None


CASES_OF_VLLM = [
    (
        "memory-in-use",
        "ValueError: Free memory on device cuda:0 (60.1/119.7 GiB) on startup is less than desired"
        " GPU memory utilization (0.85, 101.7 GiB).",
    ),
    ("no-kv-cache-memory", "ValueError: No available memory for the cache blocks."),
    (
        "kv-cache-too-small",
        "ValueError: To serve at least one request with the model's max seq len (196608), (24.0"
        " GiB KV cache is needed",
    ),
    (
        "max-model-len",
        "ValueError: User-specified max_model_len (196608) is greater than the derived"
        " max_model_len (max_position_embeddings=131072",
    ),
    (
        "cuda-out-of-memory",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    ),
    (
        "ray-memory-monitor",
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
    ),
    ("vllm-arguments", "vllm: error: unrecognized arguments: --no-such-flag"),
    ("api-port-in-use", "OSError: [Errno 98] Address already in use"),
    (
        "torch-port-in-use",
        "torch.distributed.DistNetworkError: The server socket has failed to listen on any local"
        " network address. port: 29500, name: EADDRINUSE, message: address already in use",
    ),
    (
        "shared-memory-removed",
        "FileNotFoundError: [Errno 2] No such file or directory: '/psm_0e1f2a'",
    ),
    (
        "model-not-found",
        "FileNotFoundError: No such file or directory: /models/m/model-00002-of-00026.safetensors",
    ),
    (
        "model-not-found",
        "OSError: /models/m does not appear to have a file named config.json.",
    ),
    (
        "broken-weights",
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata,"
        " file not fully covered",
    ),
    (
        "permission-denied",
        "PermissionError: [Errno 13] Permission denied: '/root/.cache/vllm/torch_compile_cache'",
    ),
    ("disk-full", "OSError: [Errno 28] No space left on device: '/root/.cache/flashinfer'"),
    ("too-few-gpus", "ValueError: Cannot provide a placement group requiring 2.0 GPUs"),
    (
        "torch-mismatch",
        "ImportError: /opt/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEa",
    ),
    (
        "kernel-for-other-gpu",
        "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the"
        " device",
    ),
    (
        "kernel-for-other-gpu",
        "torch.AcceleratorError: CUDA error: an illegal instruction was encountered",
    ),
    (
        "unknown-interface",
        "RuntimeError: [/pytorch/gloo/transport/tcp/device.cc:84] rv != -1. -1 vs -1. Unable to"
        " find address for: eth0",
    ),
    (
        "duplicate-host-ip",
        "RuntimeError: Every node should have a unique IP address. Got 2 nodes",
    ),
    (
        "memory-registration",
        "RuntimeError: Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory",
    ),
    ("rank-hangs", "TimeoutError: RPC call to sample_tokens timed out."),
    (
        "rank-hangs",
        "torch.distributed.DistBackendError: [Rank 1] Watchdog caught collective operation timeout:"
        " WorkNCCL(SeqNum=9, OpType=ALLREDUCE) ran for 600006 milliseconds before timing out.",
    ),
    (
        "engine-ready-timeout",
        "TimeoutError: Timed out waiting for engine core processes to start. Waited 600s"
        " (configured by VLLM_ENGINE_READY_TIMEOUT_S).",
    ),
    (
        "model-gated",
        "OSError: You are trying to access a gated repo.",
    ),
    (
        "kernel-for-other-gpu",
        "RuntimeError: Triton Error [CUDA]: device kernel image is invalid",
    ),
    (
        "nccl-error",
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
    ),
    (
        "nccl-invalid-usage",
        "RuntimeError: NCCL error: invalid usage (run with NCCL_DEBUG=WARN for details)",
    ),
]


@pytest.mark.parametrize("log", [EARLY, WHOLE], ids=["early", "late"])
@pytest.mark.parametrize(("code", "error"), CASES_OF_VLLM)
def test_an_error_is_known_whatever_came_before_it(log: str, code: str, error: str) -> None:
    assert cause(f"{log}{ERROR}{error}\n") == code


@pytest.mark.parametrize(
    "line",
    [
        "INFO 11-21 [ray_utils.py:607] No current placement group found.",
        "WARNING 11-21 [x.py:1] OSError: [Errno 28] No space left on device",
        "ERROR 11-21 [x.py:1] FileNotFoundError: No such file or directory: 'ninja'",
        "ERROR 11-21 [x.py:1] KeyError: 'max_model_len'",
        "# undefined symbol: see the wheel's notes",
    ],
)
def test_a_line_that_only_resembles_a_failure_is_not_explained(line: str) -> None:
    assert cause(f"{EARLY}(EngineCore pid=191) {line}\n") is None


def test_a_real_failed_start_is_explained_by_its_cause() -> None:
    assert cause((LOGS / "serve-failed.log").read_text()) == "broken-weights"


def test_the_first_error_is_the_cause_and_a_later_one_does_not_explain_it() -> None:
    full = "OSError: [Errno 28] No space left on device\n"
    denied = "PermissionError: [Errno 13] Permission denied: '/models'\n"
    assert cause(full + denied) == "disk-full"
    assert cause("ValueError: odd\n" + full) is None


NCCL_CASES = [
    "ifname-no-match 2.30.7",
    "gid-family-mismatch",
    "gid-empty-slot",
    "no-route",
    "peer-timeout",
    "retry-exceeded 2.30",
    "memory-registration, ibv_create_qp",
    "mixed-transports, as a warning",
]


@pytest.mark.parametrize("name", NCCL_CASES)
def test_nccls_own_lines_explain_a_broken_network(name: str) -> None:
    files, _, expected = CASES[name]
    printed = "".join(f"{RANK}{line}\n" for text in files.values() for line in text.splitlines())
    # The traces that follow fill all that is searched for errors.
    trace = "".join(f'{ERROR}  File "x.py", line {n}\n' for n in range(500))
    found = explained(
        f"{EARLY}{printed}{ERROR}RuntimeError: NCCL error: unhandled system error (run with"
        f" NCCL_DEBUG=INFO for details)\n{trace}"
    )
    assert found
    assert found.code == expected
    remedy = next(advice.fix.text for code, advice in ADVICE.items() if code == expected)
    assert found.remedy.endswith(remedy)  # the log reader's own


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ifname-missing", "ifname-no-match"), ("net-ib-forced", "net-ib-unavailable")],
)
def test_what_torch_quotes_of_nccl_is_enough(name: str, expected: str) -> None:
    text = (REAL / f"{name}.rank0.log").read_text()
    quoted = text[text.index("[rank0]: torch.distributed.DistBackendError") :]
    printed = "".join(f"{RANK}{x}\n" for x in quoted.splitlines() if "NCCL INFO" not in x)
    assert cause(EARLY + printed) == expected


def test_a_network_that_works_is_no_cause() -> None:
    files = CASES["a retry that went well"][0]
    printed = "".join(f"{RANK}{line}\n" for text in files.values() for line in text.splitlines())
    assert cause(f"{EARLY}{printed}{ERROR}KeyError: 'x'\n") is None
    slow = (REAL / "ib-disabled.rank0.log").read_text()
    assert cause(f"{EARLY}{slow}{ERROR}KeyError: 'x'\n") is None


def test_an_older_nccls_warning_of_a_retry_that_went_well_is_no_cause() -> None:
    retried = Warn(MODIFY.format("110 Connection timed out", 3, V4, V4) + ", retrying 1/35")
    printed = process(USING, *ON_IB, *VIA_IB, retried, CONNECTED)
    assert cause(f"{EARLY}{printed}{ERROR}KeyError: 'x'\n") is None


def test_a_network_that_failed_for_no_known_reason_is_an_nccl_error() -> None:
    printed = process(USING, *ON_IB, "init.cc:1234 -> 3")
    log = f"{EARLY}{printed}{ERROR}RuntimeError: NCCL error: internal error\n"
    assert cause(log) == "nccl-error"


def test_what_a_start_repeats_while_it_waits_explains_it_only_if_it_waited() -> None:
    hangs = (
        "(EngineCore pid=191) INFO 11-21 03:40:53 [shm_broadcast.py:871] No available shared memory"
        " broadcast block found in 60 seconds. This typically happens when some processes are"
        " hanging or doing some time-consuming work (e.g. compilation).\n"
    )
    waits = (
        "(EngineCore pid=191) INFO 11-21 03:30:44 [ray_utils.py:467] Waiting for creating a"
        " placement group of specs for 10 seconds. specs=[{'GPU': 1.0}]\n"
    )
    assert cause(EARLY + hangs) is None
    assert cause(EARLY + hangs, waited=True) == "rank-stalls"
    assert cause(EARLY + waits, waited=True) == "too-few-gpus"


def test_a_ray_that_vllm_waited_for_is_no_cause() -> None:
    """Ray 2.60 warns of each attempt to reach a GCS that does not listen yet."""
    slow = (
        "[2026-11-22 06:02:26,126 W 3794 3794] rpc_client.h:153: Failed to connect to GCS at"
        " address 192.168.100.11:6379 within 5 seconds.\n"
        "[2026-11-22 06:03:01,144 W 3794 3794] gcs_client.cc:210: Failed to get cluster ID from GCS"
        " server: TimedOut: Timed out while waiting for GCS to become available.\n"
    )
    assert cause(f"{slow}{EARLY}", waited=True) is None
    assert cause(f"{slow}{EARLY}{ERROR}SafetensorError: x\n") == "broken-weights"


def test_rays_own_failure_is_the_line_with_the_error() -> None:
    tail = ["token authentication is on", "RuntimeError: Version mismatch: 2.60.0, 2.59.0", "bye"]
    text, known = explain_ray(tail, 1, 60)
    assert text.endswith(": RuntimeError: Version mismatch: 2.60.0, 2.59.0")
    assert known == ("ray-versions-differ", REMEDIES["ray-versions-differ"])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("OSError: [Errno 98] Address already in use", "ray-port-in-use"),
        ("ConnectionError: Failed to connect to GCS at 10.0.0.1:6379", "ray-head-unreachable"),
        ("RuntimeError: Unauthenticated: invalid token", "ray-token-refused"),
        ("bye", None),
    ],
)
def test_known_failures_of_ray(line: str, code: str | None) -> None:
    known = explain_ray([line], 1, 60)[1]
    assert (known.code if known else None) == code


def test_a_ray_that_does_not_start_in_time_is_a_time_out() -> None:
    known = explain_ray(["Version mismatch"], None, 60)[1]
    assert known
    assert known.code == "ray-timeout"
