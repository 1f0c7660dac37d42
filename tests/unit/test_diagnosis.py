"""The hint of a failed start: told by what failed, in a log that says much else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkctl.fabric.nccllog.advice import ADVICE
from sparkctl.serving.diagnosis import explain_ray, explain_vllm
from sparkctl.serving.progress import Progress
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

LOGS = Path(__file__).parents[1] / "fixtures/vllm"
WHOLE = (LOGS / "serve-tp2.log").read_text()
# As long as the engine's arguments and Ray's placement group are among the last lines.
EARLY = WHOLE[: WHOLE.index("Starting to load model")].rpartition("\n")[0] + "\n"
RANK = "(RayWorkerProc pid=93, ip=192.168.177.12) "
ERROR = RANK + "(Worker_TP1 pid=93) ERROR 11-21 03:30:53 [multiproc_executor.py:687] "


def hint(log: str, *, waited: bool = False) -> str | None:
    """The hint on a vLLM that ended with this log."""
    progress = Progress()
    progress.feed(log)
    return explain_vllm(progress.verdict, list(progress.lines), waited=waited)


def test_nothing_is_known_of_a_start_without_an_error() -> None:
    assert hint(EARLY) is None
    assert hint(WHOLE) is None


@pytest.mark.parametrize("log", [EARLY, WHOLE], ids=["early", "late"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ValueError: Free memory on device cuda:0 (60.1/119.7 GiB) on startup is less than desired"
         " GPU memory utilization (0.85, 101.7 GiB).", "page cache"),
        ("ValueError: No available memory for the cache blocks.", "raise gpu-memory-utilization"),
        ("ValueError: To serve at least one request with the model's max seq len (196608), (24.0"
         " GiB KV cache is needed", "lower vllm.arguments max-model-len, or raise"),
        ("ValueError: User-specified max_model_len (196608) is greater than the derived"
         " max_model_len (max_position_embeddings=131072", "max-model-len"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
         "the same memory"),
        ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
         "RAY_memory_monitor_refresh_ms"),
        ("vllm: error: unrecognized arguments: --no-such-flag", "correct vllm.arguments"),
        ("OSError: [Errno 98] Address already in use", "vllm.port"),
        ("torch.distributed.DistNetworkError: The server socket has failed to listen on any local"
         " network address. port: 29500, name: EADDRINUSE, message: address already in use",
         "MASTER_PORT"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/psm_0e1f2a'", "enable-linger"),
        ("FileNotFoundError: No such file or directory: /models/m/model-00002-of-00026.safetensors",
         "check vllm.model"),
        ("OSError: /models/m does not appear to have a file named config.json.", "vllm.model"),
        ("safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata,"
         " file not fully covered", "copy vllm.model"),
        ("PermissionError: [Errno 13] Permission denied: '/root/.cache/vllm/torch_compile_cache'",
         "chown"),
        ("OSError: [Errno 28] No space left on device: '/root/.cache/flashinfer'", "df -h"),
        ("ValueError: Cannot provide a placement group requiring 2.0 GPUs", "too few free GPUs"),
        ("ImportError: /opt/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEa",
         "torch and vllm"),
        ("torch.AcceleratorError: CUDA error: no kernel image is available for execution on the"
         " device", "attention-backend"),
        ("torch.AcceleratorError: CUDA error: an illegal instruction was encountered",
         "attention-backend"),
        ("RuntimeError: [/pytorch/gloo/transport/tcp/device.cc:84] rv != -1. -1 vs -1. Unable to"
         " find address for: eth0", "GLOO_SOCKET_IFNAME"),
        ("RuntimeError: Every node should have a unique IP address. Got 2 nodes", "VLLM_HOST_IP"),
        ("RuntimeError: Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory",
         "memlock"),
        ("TimeoutError: RPC call to sample_tokens timed out.", "a rank hangs"),
        ("RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
         "NCCL_DEBUG: INFO"),
        ("RuntimeError: NCCL error: invalid usage (run with NCCL_DEBUG=WARN for details)",
         "each node's own devices"),
    ],
)  # fmt: skip
def test_an_error_has_its_own_hint_whatever_came_before_it(log: str, error: str, said: str) -> None:
    assert said in (hint(f"{log}{ERROR}{error}\n") or "")


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
def test_what_is_no_such_error_gets_no_hint(line: str) -> None:
    assert hint(f"{EARLY}(EngineCore pid=191) {line}\n") is None


def test_a_real_failed_start_is_told_by_its_cause() -> None:
    assert "copy vllm.model" in (hint((LOGS / "serve-failed.log").read_text()) or "")


def test_the_verdict_comes_before_what_followed_it_and_the_last_error_before_older_ones() -> None:
    full = "OSError: [Errno 28] No space left on device\n"
    denied = "PermissionError: [Errno 13] Permission denied: '/models'\n"
    assert "df -h" in (hint(full + denied) or "")
    lines = ["x", *full.splitlines(), *denied.splitlines()]
    assert "chown" in (explain_vllm("ValueError: odd", lines, waited=False) or "")


NCCL = [
    "ifname-no-match 2.30.7", "gid-family-mismatch", "gid-empty-slot", "no-route", "peer-timeout",
    "retry-exceeded 2.30", "memory-registration, ibv_create_qp", "mixed-transports, as a warning",
]  # fmt: skip


@pytest.mark.parametrize("name", NCCL)
def test_what_broke_the_network_is_told_by_nccls_own_lines(name: str) -> None:
    files, _, cause = CASES[name]
    said = "".join(f"{RANK}{line}\n" for text in files.values() for line in text.splitlines())
    # The traces that follow fill all that is searched for errors.
    trace = "".join(f'{ERROR}  File "x.py", line {n}\n' for n in range(500))
    found = hint(
        f"{EARLY}{said}{ERROR}RuntimeError: NCCL error: unhandled system error (run with"
        f" NCCL_DEBUG=INFO for details)\n{trace}"
    )
    assert found
    assert cause
    assert found.endswith(ADVICE[cause].fix.text)


@pytest.mark.parametrize(
    ("name", "cause"),
    [("ifname-missing", "ifname-no-match"), ("net-ib-forced", "net-ib-unavailable")],
)
def test_what_torch_quotes_of_nccl_is_enough(name: str, cause: str) -> None:
    text = (REAL / f"{name}.rank0.log").read_text()
    quoted = text[text.index("[rank0]: torch.distributed.DistBackendError") :]
    told = "".join(f"{RANK}{x}\n" for x in quoted.splitlines() if "NCCL INFO" not in x)
    assert (hint(EARLY + told) or "").endswith(ADVICE[cause].fix.text)


def test_a_network_that_works_is_no_cause() -> None:
    files = CASES["a retry that went well"][0]
    said = "".join(f"{RANK}{line}\n" for text in files.values() for line in text.splitlines())
    assert hint(f"{EARLY}{said}{ERROR}KeyError: 'x'\n") is None
    slow = (REAL / "ib-disabled.rank0.log").read_text()
    assert hint(f"{EARLY}{slow}{ERROR}KeyError: 'x'\n") is None


def test_an_older_nccls_warning_of_a_retry_that_went_well_is_no_cause() -> None:
    retried = Warn(MODIFY.format("110 Connection timed out", 3, V4, V4) + ", retrying 1/35")
    said = process(USING, *ON_IB, *VIA_IB, retried, CONNECTED)
    assert hint(f"{EARLY}{said}{ERROR}KeyError: 'x'\n") is None


def test_a_network_that_failed_for_no_known_reason_is_left_to_the_doctor() -> None:
    said = process(USING, *ON_IB, "init.cc:1234 -> 3")
    found = hint(f"{EARLY}{said}{ERROR}RuntimeError: NCCL error: internal error\n")
    assert "`sparkctl doctor` checks the fabric" in (found or "")


def test_what_a_start_repeats_while_it_waits_is_told_only_if_it_waited() -> None:
    hangs = (
        "(EngineCore pid=191) INFO 11-21 03:40:53 [shm_broadcast.py:871] No available shared memory"
        " broadcast block found in 60 seconds. This typically happens when some processes are"
        " hanging or doing some time-consuming work (e.g. compilation).\n"
    )
    waits = (
        "(EngineCore pid=191) INFO 11-21 03:30:44 [ray_utils.py:467] Waiting for creating a"
        " placement group of specs for 10 seconds. specs=[{'GPU': 1.0}]\n"
    )
    assert hint(EARLY + hangs) is None
    assert "a rank hangs" in (hint(EARLY + hangs, waited=True) or "")
    assert "too few free GPUs" in (hint(EARLY + waits, waited=True) or "")


def test_rays_own_failure_is_told_by_the_line_that_says_it() -> None:
    tail = ["token authentication is on", "RuntimeError: Version mismatch: 2.60.0, 2.59.0", "bye"]
    said, remedy = explain_ray(tail, 1, 60)
    assert "Version mismatch" in said
    assert remedy
    assert remedy.startswith("install the same Ray")
