"""The lab with soft-RoCE: healthy it has nothing wrong, and every fault of the fabric is found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from sparkctl.lab.existing import STATE, specs
from sparkctl.lab.faults import devices, engine, inventory, network, verbs
from tests.lab.cluster import BASE, Cluster
from tests.lab.examine import examine, lasting
from tests.lab.test_doctor_faults import FOUND, TWO
from tests.refused import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults]
SOFT = BASE.with_name(f"{BASE.name}-soft")
NAME = "soft-roce"
FABRIC = [
    fault
    for faults in (network.FAULTS, devices.FAULTS, verbs.FAULTS, inventory.FAULTS)
    for fault in faults
]
POSSIBLE = [fault.name for fault in FABRIC if NAME not in fault.impossible]


@pytest.fixture(scope="module")
def soft() -> Iterator[Lab]:
    """Two nodes with soft-RoCE, in a folder of their own."""
    cache = cache_folder()
    model = (cache / "runtime").exists()
    yield labs.up(2, SOFT, cache / "runtime", cache / "lab", model=model, hardware=NAME)
    labs.down(SOFT)


@pytest.fixture
def cluster(soft: Lab) -> Iterator[Cluster]:
    """The tool on it; what the test injected is healed."""
    yield Cluster(soft, soft.inventory)
    engine.heal(soft.base)


@pytest.fixture(scope="module")
def healthy(soft: Lab) -> dict[str, Any]:
    """The facts of the healthy lab that do not change by themselves."""
    return lasting(examine(soft.inventory, passive=True)[1])


def test_the_healthy_lab_has_neither_failure_nor_warning(cluster: Cluster) -> None:
    wrong, snapshot = examine(cluster.inventory)
    assert wrong == set()
    assert [half.pci for half in snapshot.cage(TWO)] == [None, None]
    assert {half.cage for half in snapshot.halves(TWO)} == {0, 1}


def test_fix_changes_no_port_without_a_cable(cluster: Cluster) -> None:
    look = ("cat", "/sys/class/net/enp1s0f1np1/flags", "/sys/class/net/enp1s0f1np1/mtu")
    before = cluster.on(TWO, *look)
    fixed = cluster.run("doctor", "--fix", "--yes", "--check", "fabric")
    assert "done:" not in fixed.stderr
    assert cluster.on(TWO, *look) == before


@pytest.mark.parametrize("name", POSSIBLE)
@pytest.mark.usefixtures("healthy")
def test_a_fault_of_the_fabric_is_found(name: str, cluster: Cluster) -> None:
    engine.inject(SOFT, name)
    assert examine(cluster.inventory)[0] == FOUND[name]


def test_healing_left_nothing(cluster: Cluster, healthy: dict[str, Any]) -> None:
    wrong, snapshot = examine(cluster.inventory)
    assert wrong == set()
    assert lasting(snapshot) == healthy


def test_a_fault_that_it_cannot_have_is_refused_with_the_reason(cluster: Cluster) -> None:
    assert [fault.name for fault in FABRIC if NAME in fault.impossible] == ["pcie-width-2"]
    with refused("fault-impossible") as caught:
        engine.inject(SOFT, "pcie-width-2")
    assert "no PCIe link" in caught.value.message
    listed = cluster.run("lab", "faults", "--dir", str(SOFT), "--json").stdout
    reasons = {f["name"]: f["impossible"] for f in json.loads(listed)["faults"]}
    assert [name for name, reason in reasons.items() if reason] == ["pcie-width-2"]


def test_the_hardware_stays_the_labs(cluster: Cluster) -> None:
    again = cluster.run("lab", "up", "--dir", str(SOFT), "--no-model")
    assert "is up already" in again.stdout
    options = ("lab", "up", "--dir", str(SOFT), "--no-model", "--hardware")
    assert cluster.error(*options, "connectx-7")["code"] == "lab-hardware-differs"
    assert cluster.error(*options, "abacus", code=2)["code"] == "lab-hardware-unknown"
    status = json.loads(cluster.run("lab", "status", "--dir", str(SOFT), "--json").stdout)
    assert status["hardware"] == NAME
    assert any("soft-RoCE" in what for what in status["imitated"])


def test_a_lab_of_the_release_before_has_a_sparks_hardware(lab: Lab) -> None:
    state = json.loads((lab.base / STATE).read_text())
    assert state.pop("hardware") == "connectx-7"
    assert {node.hardware.name for node in specs(lab.base, state)} == {"connectx-7"}
