"""Injecting and healing: several at once, half of one, what is refused and told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab import lab as labs
from sparkctl.lab.faults import engine, journal
from sparkctl.lab.faults.fault import HEAD, WORKER, Fault
from sparkctl.lab.faults.table import FAULTS
from tests.lab.cluster import BASE, Cluster
from tests.lab.nodestate import difference, on

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.lab.faults.target import Target
    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]
SECOND = "enP2p1s0f0np0"


def test_many_at_once_are_healed_in_any_order(lab: Lab, healthy: dict[str, Any]) -> None:
    chosen: list[Fault] = []
    for fault in FAULTS.values():
        if fault.needs in ("nothing", "model") and not any(
            fault.shared(other, same_node=True) for other in chosen
        ):
            engine.inject(BASE, fault.name)
            chosen.append(fault)
    assert len(chosen) > 15
    listed = {f["name"] for f in engine.overview(BASE) if f["active"]}
    assert listed == {fault.name for fault in chosen}
    assert len((labs.status(BASE) or {})["faults"]) == len(chosen)
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
def test_what_somebody_has_mended_is_healed_too(
    lab: Lab, healthy: dict[str, Any], name: str, fix: str
) -> None:
    engine.inject(BASE, name)
    on(lab, WORKER, "sh", "-ec", fix)
    engine.heal(BASE, name)
    assert difference(lab, healthy) == {}


@pytest.mark.parametrize("failure", [SparkctlError("no"), KeyboardInterrupt()])
def test_half_a_fault_is_undone(
    lab: Lab,
    healthy: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
) -> None:
    def apply(target: Target) -> None:
        target.cover("/etc/nccl.conf", "x")
        target.hide("/dev/infiniband")
        target.start("sleep", "infinity")
        target.change(f"ip link set {SECOND} mtu 1500", f"ip link set {SECOND} mtu 9000")
        assert difference(lab, healthy)
        target.when_healed("false")  # of a change that is never made
        raise failure

    monkeypatch.setitem(FAULTS, "half", Fault("half", "half of it", apply, ("any",)))
    with pytest.raises(type(failure)):
        engine.inject(BASE, "half")
    assert journal.read(BASE) == []
    assert difference(lab, healthy) == {}


def test_what_cannot_be_undone_is_told_and_stays(
    lab: Lab, healthy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = Fault(
        "stubborn", "it stays", lambda target: target.change("touch /run/fixed", "rm /run/fixed"),
        ("any",),
    )  # fmt: skip
    monkeypatch.setitem(FAULTS, "stubborn", stubborn)
    engine.inject(BASE, "stubborn")
    engine.inject(BASE, "nccl-conf")
    on(lab, WORKER, "rm", "/run/fixed")
    with pytest.raises(SparkctlError, match="`rm /run/fixed` failed"):
        engine.heal(BASE)
    assert [a.fault for a in journal.read(BASE)] == ["stubborn"]
    on(lab, WORKER, "touch", "/run/fixed")
    engine.heal(BASE)
    assert difference(lab, healthy) == {}


def test_the_commands(cluster: Cluster, healthy: dict[str, Any]) -> None:
    at = ("--dir", str(BASE))
    assert "mtu-1500" in cluster.run("lab", "faults", *at).stdout
    assert "nothing to heal" in cluster.run("lab", "heal", *at).stdout
    assert "spark-1: " in cluster.run("lab", "fault", *at, "mtu-1500", "--node", HEAD).stdout
    assert "active on spark-1 already" in cluster.run(
        "lab", "fault", *at, "--node", HEAD, "mtu-1500", code=1
    ).stderr  # fmt: skip
    listed = json.loads(cluster.run("lab", "faults", *at, "--json").stdout)["faults"]
    assert len(listed) >= 30
    assert {f["name"]: f["active"] for f in listed if f["active"]} == {"mtu-1500": [HEAD]}
    assert "fault: mtu-1500 on spark-1" in cluster.run("lab", "status", *at).stdout
    assert "healed mtu-1500" in cluster.run("lab", "heal", *at, "mtu-1500").stdout
    assert "not active" in cluster.run("lab", "heal", *at, "mtu-1500", code=1).stderr
    assert difference(cluster.lab, healthy) == {}


def test_wrong_names_are_told(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no fault half-don") as caught:
        engine.inject(BASE, "half-don")
    assert "half-down" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no fault nothing-like-it"):
        engine.heal(BASE, "nothing-like-it")
    with pytest.raises(UsageError, match="no node spark-3"):
        engine.inject(BASE, "half-down", "spark-3")
    with pytest.raises(UsageError, match="no lab is up"):
        engine.inject(tmp_path, "half-down")
    with pytest.raises(SparkctlError, match="needs a cluster that serves"):
        engine.inject(BASE, "ray-on-management")
    assert journal.read(BASE) == []
