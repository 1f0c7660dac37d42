"""Each check on a healthy pair of which one thing was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.explain import entries
from sparkctl.doctor.table import CHECKS
from tests.unit.answers import listener, process
from tests.unit.doctorview import examined, healthy, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.doctorview import Answers

    Change = Callable[[Answers], None]

TWO = "spark-2"
GIB = 2**30


def two(answers: Answers) -> Any:
    """The second node's facts, to be changed."""
    return answers.facts[TWO]


def half_down(answers: Answers) -> None:
    net = two(answers)["net"]["enP2p1s0f0np0"]
    net.update(up=False, carrier=None, operstate="down")
    two(answers)["ib"]["roceP2p1s0f0"]["ports"]["1"].update(state="DOWN", phys_state="Disabled")


def no_carrier(answers: Answers) -> None:
    two(answers)["net"]["enP2p1s0f0np0"]["carrier"] = 0
    two(answers)["ib"]["roceP2p1s0f0"]["ports"]["1"].update(state="DOWN", phys_state="Polling")


def half_gone(answers: Answers) -> None:
    del two(answers)["ib"]["roceP2p1s0f0"]


def gid_gone(answers: Answers) -> None:
    gids = two(answers)["ib"]["rocep1s0f0"]["ports"]["1"]["gids"]
    del gids[2:]


def fact(*path: str, value: Any) -> Change:
    """Sets one of the second node's facts."""

    def change(answers: Answers) -> None:
        place = two(answers)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def stray(answers: Answers) -> None:
    two(answers)["ours"] = [process("vllm", "python", run="old")]


def ping_lost(answers: Answers) -> None:
    answers.looks["peers"][TWO]["pings"][0]["error"] = "100% packet loss"


def loses(answers: Answers) -> None:
    answers.looks["peers"][TWO]["counters"]["rocep1s0f0"]["packet_seq_err"] += 5


def skewed(answers: Answers) -> None:
    two(answers)["time"] += 120
    two(answers)["time_end"] += 120


def user_without_linger(answers: Answers) -> None:
    two(answers)["uid"] = 1000
    two(answers)["system"]["remove_ipc"] = True


def not_importable(answers: Answers) -> None:
    answers.looks["imports"][TWO]["vllm"] = {"version": None, "error": "undefined symbol: _ZN3c10"}


ROOTLESS = 0x1FFFFFFBFFF  # all but CAP_IPC_LOCK
OLD_ADDRESS = ["192.168.100.13/24"]
CONF = "settings", "conf"
SOCKET, PLUGIN = {"NCCL_NET": "Socket"}, {"NCCL_NET_PLUGIN": "x"}
PROFILE = {"path": "/etc/profile.d/x.sh", "line": 1, "name": "NCCL_IB_DISABLE", "value": "1"}
OWNED = {"name": "a", "uid": 0, "user": "root", "mode": "0600"}
NO_GPU = {"gpus": None, "gpu_error": "did not answer", "gpu_processes": None}
DRIVER = {"name": "NVIDIA GB10", "driver": "590.44"}
FOREIGN = {"pid": 4, "uid": 1, "command": "x/raylet", "cluster": ""}
WORKERS = [listener(port) for port in range(10002, 20000)]
FIRST, SECOND = ("net", "enp1s0f0np0"), ("net", "enP2p1s0f0np0")
CASES: list[tuple[Change, str, str, str]] = [
    (half_down, "fabric.halves", "FAIL", "interface-down"),
    (no_carrier, "fabric.halves", "FAIL", "no-carrier"),
    (half_gone, "fabric.halves", "FAIL", "half-missing"),
    (fact(*SECOND, "ipv4", value=OLD_ADDRESS), "fabric.subnets", "FAIL", "halves-share-subnet"),
    (fact(*SECOND, "ipv4", value=[]), "fabric.addresses", "FAIL", "address-missing"),
    (fact(*FIRST, "mtu", value=1500), "fabric.mtu", "FAIL", "mtu-mismatch"),
    (gid_gone, "fabric.gid", "FAIL", "no-usable-gid"),
    (fact("ib", value={}), "fabric.devices", "FAIL", "no-rdma-device"),
    (fact(*FIRST, "speed", value=100_000), "fabric.speed", "WARN", "slow-link"),
    (fact(*FIRST, "pcie_width", value="2"), "fabric.pcie", "FAIL", "slow-pcie"),
    (fact("verbs", "uverbs", value={}), "fabric.uverbs", "FAIL", "uverbs-missing"),
    (
        fact("verbs", "uverbs", "rocep1s0f0", "error", value="EACCES"),
        "fabric.uverbs",
        "FAIL",
        "uverbs-denied",
    ),
    (fact("verbs", "library", value="none"), "fabric.libraries", "FAIL", "libibverbs-missing"),
    (fact("verbs", "providers", value=["efa"]), "fabric.libraries", "FAIL", "provider-missing"),
    (fact("system", "capabilities", value=ROOTLESS), "fabric.memlock", "FAIL", "memlock-limit"),
    (loses, "fabric.loss", "WARN", "packets-lost"),
    (ping_lost, "fabric.ping", "FAIL", "packets-lost"),
    (fact("settings", "session", value=SOCKET), "settings.forced", "FAIL", "net-forced"),
    (fact("settings", "session", value=PLUGIN), "settings.forced", "WARN", "net-plugin"),
    (
        fact(*CONF, value=[{"path": "/x", "values": SOCKET}]),
        "settings.nccl-conf",
        "WARN",
        "set-by-conf",
    ),
    (
        fact(*CONF, value=[{"path": "/x", "values": PLUGIN}]),
        "settings.forced",
        "WARN",
        "net-plugin",
    ),
    (fact("settings", "profiles", value=[PROFILE]), "settings.profiles", "WARN", "set-by-profile"),
    (fact("persistence", "files", value=[]), "fabric.persistent", "WARN", "lost-on-reboot"),
    (fact("ports", value=WORKERS), "ports.workers", "WARN", "few-worker-ports"),
    (fact("runtime", "exists", value=False), "runtime.present", "FAIL", "no-runtime"),
    (fact("runtime", "programs", "ray", value=False), "runtime.present", "FAIL", "no-program"),
    (fact("runtime", "versions", "vllm", value="0.19.0"), "runtime.present", "WARN", "old-vllm"),
    (not_importable, "runtime.imports", "FAIL", "import-failed"),
    (
        fact("runtime", "versions", "ray", value="2.59.0"),
        "runtime.versions",
        "FAIL",
        "version-differs",
    ),
    (fact("runtime", "python", value="3.11.8"), "runtime.versions", "FAIL", "version-differs"),
    (fact("model", "exists", value=False), "model.present", "FAIL", "no-model"),
    (fact("model", "config", value=False), "model.present", "FAIL", "no-config"),
    (fact("model", "shards", value=0), "model.present", "FAIL", "no-shards"),
    (fact("model", "missing", value=["m"]), "model.present", "FAIL", "missing-shards"),
    (
        fact("model", "broken", value=[{"name": "a", "wanted": 2, "found": 1}]),
        "model.present",
        "FAIL",
        "damaged-shard",
    ),
    (fact("model", "unreadable", value=[OWNED]), "model.present", "FAIL", "unreadable-shard"),
    (fact("model", "digest", value="other"), "model.same", "WARN", "model-differs"),
    (fact("gpu", value=NO_GPU), "host.gpu", "FAIL", "nvidia-smi-failed"),
    (fact("gpu", "gpus", value=[]), "host.gpu", "FAIL", "gpus-missing"),
    (
        fact("gpu", "gpu_processes", value=[{"pid": 5, "name": "python"}]),
        "host.gpu",
        "WARN",
        "gpu-shared",
    ),
    (fact("gpu", "gpus", value=[DRIVER]), "host.driver", "WARN", "driver-deadlocks"),
    (fact("memory", "MemAvailable", value=GIB), "host.memory", "FAIL", "low-memory"),
    (fact("memory", "SwapTotal", value=9 * GIB), "host.swap", "WARN", "swapped-out"),
    (
        fact("disk", "temporary files", "free", value=GIB // 2),
        "host.disk",
        "FAIL",
        "low-disk",
    ),
    (fact("disk", "logs", "free", value=2 * GIB), "host.disk", "WARN", "low-disk"),
    (fact("system", "limits", "nofile", value=1024), "host.login", "WARN", "few-open-files"),
    (user_without_linger, "host.login", "WARN", "shared-memory-removed"),
    (fact("foreign_rays", value=[FOREIGN]), "host.foreign-ray", "WARN", "foreign-ray"),
    (fact("state", "exists", value=True), "host.leftovers", "WARN", "leftover-files"),
    (stray, "host.leftovers", "WARN", "leftover-process"),
    (skewed, "host.clock", "FAIL", "clock-off"),
]


def test_a_healthy_pair_has_neither_failure_nor_warning() -> None:
    assert wrong(healthy()) == set()


@pytest.mark.parametrize(("change", "check", "severity", "code"), CASES)
def test_each_fault_is_found_on_its_node(
    change: Change, check: str, severity: str, code: str
) -> None:
    answers = healthy()
    change(answers)
    assert (check, TWO, severity) in wrong(answers)
    (finding, *_) = [f for f in examined(answers, check) if f.severity.value == severity]
    assert (finding.node, finding.code) == (TWO, code)
    assert finding.evidence
    assert all(e.expected and e.got and e.where for e in finding.evidence)
    assert finding.summary not in {e.got for e in finding.evidence}, "a value"
    assert finding.fix is not None
    assert finding.fix.text
    assert "CRASH" not in {s for _, _, s in wrong(answers)}


def test_every_check_is_documented_and_none_is_made_up() -> None:
    ids = [c.id for c in CHECKS]
    assert sorted(entries()) == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(all(vars(entry).values()) for entry in entries().values())
    assert {c.scope for c in CHECKS} == {"node", "pair", "cluster"}
