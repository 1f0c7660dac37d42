"""sparkctl doctor --log, as scripts and people meet it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sparkctl.cli.doctorlog import diagnose
from sparkctl.cli.examination import Examination
from sparkctl.doctor.runner import evaluate
from tests.cli.test_cli import sparkctl
from tests.unit.doctorview import healthy
from tests.unit.nccllogs import CASES, HEALTHY, REAL, process

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import Snapshot


def logs(name: str) -> list[str]:
    return [a for path in sorted(REAL.glob(f"{name}.*.log")) for a in ("--log", str(path))]


@pytest.mark.parametrize(
    ("name", "code", "transport", "cause"),
    [
        ("p2p", 0, "local", None),
        ("socket-fallback", 3, "socket", "no-device"),
        ("ib-hca-missing", 3, "socket", "hca-filter-no-match"),
        ("ib-disabled", 3, "socket", "ib-disabled"),
        ("net-ib-forced", 3, "failed", "net-ib-unavailable"),
        ("ifname-missing", 3, "failed", "ifname-no-match"),
    ],
)
def test_json_and_exit_code_of_the_real_logs(
    name: str, code: int, transport: str, cause: str | None, tmp_path: Path
) -> None:
    done = sparkctl("doctor", *logs(name), "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == code
    assert done.stderr == ""
    assert (document["transport"], document["cause"]) == (transport, cause)
    assert [rank["rank"] for rank in document["ranks"]] == [0, 1]
    assert set(document["ranks"][0]) == {
        "host",
        "pid",
        "rank",
        "nccl",
        "transport",
        "devices",
        "cause",
        "evidence",
    }
    assert [finding["code"] for finding in document["findings"]] == [cause] * bool(cause)
    for finding in document["findings"]:
        assert finding["evidence"][0]["file"].endswith(".log")
        assert finding["fix"]["text"]


def test_text_tells_the_verdict_first_then_where_and_what_to_do() -> None:
    done = sparkctl("doctor", *logs("ib-hca-missing"))
    first = str(REAL / "ib-hca-missing.rank0.log")
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == (
        "NCCL runs over Socket (TCP), not over RDMA: hca-filter-no-match"
    )
    assert f"  {first}:8: vm:787:787 [0] NCCL INFO NCCL_IB_HCA set to rocep1s0f0" in done.stdout
    assert "  or uverbs-missing: decided by" in done.stdout
    assert "    ls /sys/class/infiniband\n" in done.stdout
    assert "\x1b" not in done.stdout


def test_text_of_a_healthy_pair_proves_both_halves(tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    path.write_text("".join(HEALTHY.values()))
    done = sparkctl("doctor", "--log", str(path))
    assert done.returncode == 0
    assert done.stdout.startswith("NCCL runs over RDMA\n")
    assert done.stdout.count("rocep1s0f0 2, roceP2p1s0f0 2") == 2


def test_a_warning_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "half.log"
    path.write_text("".join(CASES["one-half-only, by the channels"][0].values()))
    done = sparkctl("doctor", "--log", str(path))
    assert done.returncode == 0
    assert "WARN    one-half-only" in done.stdout


def test_of_several_starts_in_one_log_the_last_counts(tmp_path: Path) -> None:
    before = "".join(CASES["ifname-no-match 2.30.7"][0].values()).replace("spark-", "older-")
    gloo = "RuntimeError: Unable to find address for: eth0\n"
    failed = "RuntimeError: NCCL error: invalid usage (run with NCCL_DEBUG=WARN for details)\n"
    path = tmp_path / "vllm.log"
    path.write_text(
        f"== sparkctl 1: x\n{before}{gloo}{failed}== sparkctl 2: x\n" + "".join(HEALTHY.values())
    )
    document = json.loads(sparkctl("doctor", "--log", str(path), "--json").stdout)
    assert (document["transport"], document["cause"], document["findings"]) == ("rdma", None, [])
    assert {rank["host"] for rank in document["ranks"]} == {"spark-1", "spark-2"}


def test_what_is_wrong_beside_a_working_network_is_in_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text("".join(HEALTHY.values()) + "ValueError: Permission denied: '/m'\n")
    done = sparkctl("doctor", "--log", str(path))
    assert done.stdout.startswith("NCCL runs over RDMA, and something else is wrong\n")
    assert "Permission denied" in done.stdout


def test_a_rank_whose_log_tells_no_cause_asks_for_the_others() -> None:
    done = sparkctl("doctor", "--log", str(REAL / "ifname-missing.rank1.log"), "--json")
    assert done.returncode == 3
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["cause"], found["code"]) == ("unknown", "root-lost")


def test_a_log_of_vllm_alone_tells_its_failure(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text("INFO x\nValueError: Free memory on device cuda:0 is less than desired\n")
    done = sparkctl("doctor", "--log", str(path), "--json")
    assert done.returncode == 3
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["cause"], finding["evidence"][0]["line"]) == ("vllm", 2)
    assert "gpu-memory-utilization" in finding["fix"]["text"]


@pytest.mark.parametrize("packed", [False, True])
def test_stdin(packed: bool) -> None:
    data = (REAL / "socket-fallback.rank0.log").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "sparkctl", "doctor", "--log", "-", "--json"],
        input=gzip.compress(data) if packed else data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    assert json.loads(done.stdout)["findings"][0]["evidence"][0]["file"] == "-"


VLLM = [
    "(APIServer pid=176) INFO 11-21 03:30:20 [model.py:733] Resolved architecture: M\n",
    "INFO 07-01 12:00:00 api_server.py:528] vLLM API server version 0.6\n",
    "\x1b[32mINFO\x1b[0m \x1b[90m11-21 03:30:20\x1b[0m \x1b[90m[model.py:733]\x1b[0m x\n",
    "INFO:     Application startup complete.\n",
    "== sparkctl 1: vllm serve\n",
]


@pytest.mark.parametrize("line", VLLM)
def test_a_log_of_vllm_without_nccl_is_known_and_no_failure(line: str, tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(f"x\n{line}")
    done = sparkctl("doctor", "--log", str(path), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["unrecognized"] == []


@pytest.mark.parametrize("text", ["", "cluster: lab\n", "ValueError: 5\n", "NCCL is a library\n"])
def test_a_file_without_a_line_that_is_known_is_no_success(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(text)
    done = sparkctl("doctor", "--log", str(path))
    assert done.returncode == 3
    assert f"{path} has no known line of NCCL, vLLM or SGLang" in done.stdout
    done = sparkctl("doctor", "--log", str(path), "--log", str(path), "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["unrecognized"] == [str(path)]


def test_a_file_without_a_known_line_beside_one_that_has_some_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.touch()
    done = sparkctl("doctor", *logs("p2p"), "--log", str(path))
    assert done.returncode == 0
    assert f"{path} has no known line" in done.stdout


def test_usage(tmp_path: Path) -> None:
    for path in (tmp_path / "none.log", tmp_path):
        done = sparkctl("doctor", "--log", str(path), "--json")
        assert done.returncode == 2
        assert str(path) in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize(
    "unwanted", [["--fix"], ["--report", "x.html"], ["--check", "fabric"], ["--passive"], ["a"]]
)
def test_what_a_log_has_no_use_for_is_refused(unwanted: list[str], tmp_path: Path) -> None:
    done = sparkctl("doctor", *logs("p2p"), *unwanted, "--json", cwd=tmp_path)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert (error["code"], len(error["data"]["options"])) == ("options-conflict", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_json", [False, True])
def test_an_inventory_of_the_environment_that_cannot_be_read_spoils_no_verdict(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKCTL_INVENTORY", str(tmp_path / "none.yaml"))
    done = sparkctl("doctor", *logs("socket-fallback"), *["--json"] * as_json)
    assert done.returncode == 3
    assert "skipped the checks on the nodes" in done.stderr
    if as_json:
        assert json.loads(done.stdout)["cause"] == "no-device"
    else:
        assert done.stdout.startswith("NCCL runs over Socket")


def test_an_inventory_that_is_named_and_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.yaml")
    done = sparkctl("doctor", *logs("socket-fallback"), "-i", missing)
    assert done.returncode == 2
    assert done.stdout.startswith("NCCL runs over Socket")
    assert missing in done.stderr


@pytest.mark.parametrize("broken", [False, True])
def test_a_remedy_names_the_inventorys_key_if_there_is_one(tmp_path: Path, *, broken: bool) -> None:
    log, service = tmp_path / "vllm.log", "services: {chat: {model: /m, tensor_parallel_size: 1}}"
    log.write_text("node:1:1 [0] include/alloc.h:222 NCCL WARN Cuda failure 'out of memory'\n")
    nodes = "nodes: [{name: a, host: a}]"
    (tmp_path / "inventory.yaml").write_text(f"cluster: c\n{nodes}\n{service * (not broken)}\n")
    done = sparkctl("doctor", "--log", str(log), cwd=tmp_path)
    expected = "vllm" if broken else "services.chat"
    assert f"lower {expected}.arguments gpu-memory-utilization" in done.stdout
    assert done.stderr == ""


def test_a_deciding_check_that_fails_is_a_failure_where_the_log_tells_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "starting.log"
    path.write_text(process(rank=0))
    answers = healthy()

    def run(examination: Examination) -> tuple[Snapshot, list[Finding]]:
        snapshot = answers.snapshot()
        return snapshot, evaluate(snapshot, examination.checks())

    monkeypatch.setattr(Examination, "run", run)
    inventory = tmp_path / "inventory.yaml"
    examination = Examination(inventory, default=False)
    diagnosed = partial(diagnose, [str(path)], examination, inventory=inventory, optional=False)
    assert not diagnosed(as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["transport"], document["cause"]) == ("unknown", "unknown")
    assert {f["severity"] for f in document["decided"]} <= {"OK", "INFO"}
    answers.facts["spark-1"]["verbs"]["uverbs"]["rocep1s0f0"]["error"] = "ENOENT"
    assert diagnosed(as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert {
        "cause": "unknown",
        "state": "found",
        "node": "spark-1",
        "checks": ["fabric.uverbs"],
    } in document["decisions"]


def test_markup_in_a_log_is_text(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(
        "a:1:1 [0] NCCL INFO NCCL_IB_HCA set to [bold]x[/nope]\n"
        "a:1:1 [0] NCCL INFO NET/IB : No device found.\n"
        "a:1:1 [0] NCCL INFO Using network Socket\n"
    )
    done = sparkctl("doctor", "--log", str(path))
    assert done.returncode == 3
    assert "[bold]x[/nope]" in done.stdout
