"""Injecting and healing: several faults at once, an incomplete one, what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import SparkctlError
from sparkctl.lab import lab as labs
from sparkctl.lab.faults import engine, journal
from sparkctl.lab.faults.fault import HEAD, WORKER, Fault
from sparkctl.lab.faults.table import FAULTS
from tests.lab.cluster import BASE, Cluster
from tests.lab.nodestate import difference, on
from tests.refused import refused

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.lab.faults.target import Target
    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]
SECOND = "enP2p1s0f0np0"


def compatible() -> list[Fault]:
    """Faults that need neither Ray nor a cluster, and do not conflict."""
    chosen: list[Fault] = []
    for fault in FAULTS.values():
        conflicts = any(fault.shared(other, same_node=True) for other in chosen)
        if fault.needs in ("nothing", "model") and not conflicts:
            chosen.append(fault)
    return chosen


def test_many_at_once_are_healed_in_any_order(lab: Lab, healthy: dict[str, Any]) -> None:
    chosen = compatible()
    assert len(chosen) > 15
    for fault in chosen:
        engine.inject(BASE, fault.name)
    listed = {f["name"] for f in engine.overview(BASE) if f["active"]}
    assert listed == {fault.name for fault in chosen}
    shown = labs.status(BASE)
    assert shown is not None
    assert len(shown["faults"]) == len(chosen)
    for fault in chosen:
        engine.heal(BASE, fault.name)
    assert difference(lab, healthy) == {}


def test_the_same_on_the_other_node(cluster: Cluster, healthy: dict[str, Any]) -> None:
    for node in (HEAD, WORKER):
        engine.inject(BASE, "nccl-conf", node)
        assert cluster.on(node, "cat /etc/nccl.conf") != ""
    assert [a.node for a in engine.heal(BASE, "nccl-conf")] == [WORKER, HEAD]
    assert difference(cluster.lab, healthy) == {}


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("half-down", f"ip link set {SECOND} up"),
        ("mtu-1500", f"ip link set {SECOND} mtu 9000"),
        ("half-without-address", f"ip address add 192.168.101.12/24 dev {SECOND}"),
        ("leftover", "kill $(pgrep -f '^[V]LLM::Worker'); rm -r ~/.sparkctl"),
    ],
)
def test_what_was_repaired_by_hand_is_healed_too(
    lab: Lab, healthy: dict[str, Any], name: str, fix: str
) -> None:
    engine.inject(BASE, name)
    on(lab, WORKER, "sh", "-ec", fix)
    engine.heal(BASE, name)
    assert difference(lab, healthy) == {}


@pytest.mark.parametrize("failure", [SparkctlError("no"), KeyboardInterrupt()])
def test_an_incomplete_fault_is_undone(
    lab: Lab,
    healthy: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
) -> None:
    def apply(target: Target) -> None:
        target.cover("/etc/nccl.conf", "x")
        target.hide("/dev/infiniband")
        target.start("sleep", "infinity")
        target.change(f"ip link set {SECOND} mtu 1500", "link-mtu", interface=SECOND, mtu=9000)
        assert difference(lab, healthy)
        target.active.record(target.active.entry("unmount", path="/never"))
        target.write()
        raise failure

    monkeypatch.setitem(FAULTS, "half", Fault("half", "half of it", apply, ("any",)))
    with pytest.raises(type(failure)):
        engine.inject(BASE, "half")
    assert journal.read(BASE) == []
    assert difference(lab, healthy) == {}


# Dies at the N-th command of a fault: after its undo is in the journal, before the change.
DIES = """\
import os, pathlib, sys
from sparkctl.lab.faults import engine, target
left, run = int(sys.argv[3]), target.Target.run
def dies(self, *argv, **options):
    global left
    left -= not self.active.undo[-1].done if self.active.undo else 0
    if left == 0:
        os.kill(os.getpid(), 9)
    return run(self, *argv, **options)
target.Target.run = dies
engine.inject(pathlib.Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("memlock-64k", 5),
        ("halves-renamed", 2),
        ("gid-index-hole", 2),
        ("gid-index-hole", 3),
        ("hca-renamed", 2),
        ("no-nvidia-smi", 2),
        ("disk-full", 2),
        ("one-subnet", 3),
    ],
)
def test_a_fault_whose_command_was_killed_is_healed(
    lab: Lab, healthy: dict[str, Any], name: str, change: int
) -> None:
    argv = [sys.executable, "-c", DIES, str(BASE), name, str(change)]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    assert [a.fault for a in journal.read(BASE)] == [name]
    assert journal.read(BASE)[0].undo[-1].done is False
    engine.heal(BASE)
    assert difference(lab, healthy) == {}


def test_what_cannot_be_undone_is_reported_and_stays(
    lab: Lab, healthy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply(target: Target) -> None:
        target.change("touch /run/fixed.hidden", "unhide", path="/run/fixed")

    stubborn = Fault("stubborn", "it stays", apply, ("any",))
    monkeypatch.setitem(FAULTS, "stubborn", stubborn)
    engine.inject(BASE, "stubborn")
    engine.inject(BASE, "nccl-conf")
    on(lab, WORKER, "rm", "/run/fixed.hidden")
    with refused("fault-not-healed") as caught:
        engine.heal(BASE)
    assert caught.value.data == {"faults": ["stubborn on spark-2"]}
    assert [a.fault for a in journal.read(BASE)] == ["stubborn"]
    on(lab, WORKER, "touch", "/run/fixed.hidden")
    engine.heal(BASE)
    on(lab, WORKER, "rm", "/run/fixed")
    assert difference(lab, healthy) == {}


def test_the_commands(cluster: Cluster, healthy: dict[str, Any]) -> None:
    def lab(command: str, *words: str, code: int = 0) -> str:
        return cluster.run("lab", command, "--dir", str(BASE), *words, code=code).stdout

    assert "mtu-1500" in lab("faults")
    assert "nothing to heal" in lab("heal")
    assert "spark-1: " in lab("fault", "mtu-1500", "--node", HEAD)
    lab("fault", "--node", HEAD, "mtu-1500", code=1)
    listed = json.loads(lab("faults", "--json"))["faults"]
    assert len(listed) >= 30
    assert {f["name"]: f["active"] for f in listed if f["active"]} == {"mtu-1500": [HEAD]}
    assert "fault: mtu-1500 on spark-1" in lab("status")
    assert "healed mtu-1500" in lab("heal", "mtu-1500")
    lab("heal", "mtu-1500", code=1)
    assert difference(cluster.lab, healthy) == {}


@pytest.mark.usefixtures("lab")
def test_an_active_fault_and_a_conflict_are_refused() -> None:
    engine.inject(BASE, "no-rdma")
    with refused("fault-active"):
        engine.inject(BASE, "no-rdma")
    with refused("fault-conflict") as caught:
        engine.inject(BASE, "uverbs-denied")
    assert caught.value.data == {"fault": "no-rdma", "node": WORKER, "place": "uverbs"}
    assert [a.fault for a in engine.heal(BASE)] == ["no-rdma"]
    with refused("fault-not-active"):
        engine.heal(BASE, "no-rdma")


@pytest.mark.usefixtures("lab")
def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with refused("fault-unknown") as caught:
        engine.inject(BASE, "half-don")
    assert caught.value.data == {"similar": ["half-down", "half-slow", "ssh-down"]}
    with refused("fault-unknown"):
        engine.heal(BASE, "nothing-like-it")
    with refused("lab-node-unknown"):
        engine.inject(BASE, "half-down", "spark-3")
    with refused("lab-not-up"):
        engine.inject(tmp_path, "half-down")
    with refused("fault-need-missing"):
        engine.inject(BASE, "ray-on-management")
    assert journal.read(BASE) == []
