"""Every fault of the lab: the doctor names its cause on its node, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.finding import Severity
from sparkctl.doctor.fix import apply, plan
from sparkctl.doctor.runner import choose_checks, evaluate
from sparkctl.errors import UsageError
from sparkctl.lab.faults import engine
from sparkctl.lab.faults.table import FAULTS
from tests.lab.examine import Wrong, examine, lasting
from tests.lab.nodestate import running_nodes
from tests.lab.pasted import NOT_PASTED, PASTED

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]
ONE, TWO = "spark-1", "spark-2"


def failed(node: str, *checks: str) -> Wrong:
    return {(check, node, "FAIL") for check in checks}


def warned(node: str, *checks: str) -> Wrong:
    return {(check, node, "WARN") for check in checks}


# All that each fault leads to: the check of its cause first, then those of its consequences.
FOUND: dict[str, Wrong] = {
    # Each end of a half that is down lacks its carrier.
    "half-down": failed(TWO, "fabric.halves") | failed(ONE, "fabric.halves"),
    "half-without-address": failed(TWO, "fabric.addresses", "fabric.pairing"),
    "one-subnet": failed(TWO, "fabric.subnets", "fabric.pairing", "fabric.ping"),
    "link-local": failed(TWO, "fabric.addresses", "fabric.pairing"),
    "wrong-address": failed(TWO, "fabric.pairing"),
    # The sockets are chosen in one subnet all the same; NCCL joins first with first.
    "halves-renamed": warned(TWO, "fabric.pairing"),
    "address-volatile": warned(TWO, "fabric.persistent"),
    "mtu-1500": failed(TWO, "fabric.mtu") | failed(ONE, "fabric.ping"),
    "firewall": failed(ONE, "host.firewall"),
    # A ping shows what is lost on its way there or back.
    "packet-loss": failed(ONE, "fabric.ping") | failed(TWO, "fabric.ping"),
    "no-route": failed(TWO, "host.firewall", "fabric.ping"),
    "other-cage": failed(TWO, "fabric.choice"),
    "hca-renamed": failed(TWO, "fabric.hca"),
    # A pinned index is a warning on a node where it fits.
    "gid-index-hole": failed(TWO, "fabric.gid-index") | warned(ONE, "fabric.gid-index"),
    "pcie-width-2": failed(TWO, "fabric.pcie"),
    "half-slow": warned(TWO, "fabric.speed"),
    "loss-counters": warned(TWO, "fabric.loss"),
    "no-rdma": failed(TWO, "fabric.devices", "fabric.choice"),
    "uverbs-missing": failed(TWO, "fabric.uverbs"),
    "uverbs-denied": failed(TWO, "fabric.uverbs"),
    "no-libibverbs": failed(TWO, "fabric.libraries"),
    "hca-netdev-name": failed(TWO, "fabric.hca"),
    "hca-space": failed(TWO, "fabric.hca"),
    "hca-quotes": failed(TWO, "fabric.hca"),
    # The file's value turns RDMA off.
    "nccl-conf": warned(TWO, "settings.nccl-conf") | failed(TWO, "settings.forced"),
    "ib-disabled-profile": warned(TWO, "settings.profiles"),
    "file-hangs": warned(TWO, "reach.facts"),
    "memory-low": failed(TWO, "host.memory"),
    "kho-kernel": failed(TWO, "host.kernel"),
    "driver-590": warned(TWO, "host.driver"),
    "gpu-hangs": failed(TWO, "host.gpu"),
    "driver-mismatch": failed(TWO, "host.gpu"),
    "no-nvidia-smi": failed(TWO, "host.gpu"),
    "low-clocks": warned(TWO, "host.gpu-clocks"),
    "gpu-spins": warned(TWO, "host.gpu-clocks"),
    "nvrm-no-memory": warned(TWO, "host.kernel-log"),
    "dangling-links": failed(TWO, "model.present") | warned(TWO, "model.same"),
    "disk-full": failed(TWO, "host.disk"),
    "model-missing": failed(TWO, "model.present"),
    "model-truncated": failed(TWO, "model.present") | warned(TWO, "model.same"),
    "ray-version": failed(TWO, "runtime.versions"),
    "nccl-build": {("runtime.nccl", None, "WARN")},
    # The other node has none, and the lab's model deadlocks with CUDA graphs anyway.
    "nccl-graphs": {("runtime.nccl", None, "WARN")}
    | failed(TWO, "runtime.versions")
    | warned(ONE, "settings.recipe")
    | warned(TWO, "settings.recipe"),
    "ssh-down": failed(TWO, "reach.ssh"),
    "ssh-slow": warned(TWO, "reach.ssh"),
    "host-key-changed": failed(TWO, "reach.ssh"),
    "clock-skew": failed(TWO, "host.clock"),
    "memlock-64k": failed(TWO, "fabric.memlock"),
    "memlock-later": failed(TWO, "fabric.memlock"),
    "port-taken": failed(ONE, "ports.free"),
    "foreign-ray": warned(TWO, "host.foreign-ray"),
    "leftover": warned(TWO, "host.leftovers"),
}
ACTIVE = {"fabric.ping", "fabric.loss", "host.firewall"}  # checks that send traffic
SERVING = {
    "ray-on-management",
    "api-wedged",
}  # see test_zz_serving_faults.py


def test_the_table_has_every_fault() -> None:
    assert {*FOUND, *SERVING} == {*FAULTS}
    assert len(FAULTS) >= 30


def test_the_healthy_lab_has_neither_failure_nor_warning(cluster: Cluster) -> None:
    assert examine(cluster.inventory, skip=())[0] == set()


@pytest.mark.parametrize("name", ["clock-skew", "half-without-address", "leftover", "mtu-1500"])
def test_a_fault_of_the_head_is_found_on_the_head(name: str, cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, name, ONE)
    swapped = {ONE: TWO, TWO: ONE}
    assert examine(cluster.inventory)[0] == {(c, swapped[n or ""], s) for c, n, s in FOUND[name]}


@pytest.fixture(scope="module")
def healthy(lab: Lab) -> dict[str, Any]:
    """The facts of the healthy lab that do not change by themselves."""
    return lasting(examine(lab.inventory, passive=True)[1])


def offers_commands(snapshot: Snapshot) -> bool:
    """Whether a finding that fails or warns has a command to paste."""
    found = evaluate(snapshot, choose_checks(skip=["runtime.imports"]))
    bad = [f for f in found if f.severity in (Severity.FAIL, Severity.WARN)]
    return any(f.fix and f.fix.to_paste for f in bad)


@pytest.mark.parametrize("name", FOUND)
def test_a_fault_is_found_and_healed(name: str, cluster: Cluster, healthy: dict[str, Any]) -> None:
    engine.inject(cluster.lab.base, name)
    wrong, snapshot = examine(cluster.inventory)
    assert wrong == FOUND[name]
    assert offers_commands(snapshot) == (name in {*PASTED, *NOT_PASTED}), "see pasted.py"
    engine.heal(cluster.lab.base)
    # What was found with traffic must be gone with traffic.
    passive = not ACTIVE & {check for check, _, _ in FOUND[name]}
    found, after = examine(cluster.inventory, passive=passive)
    assert found == set()
    assert lasting(after) == healthy


def test_up_refuses_to_start_on_what_is_found(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "mtu-1500", ONE)
    doctor = cluster.run("doctor", "--json", "--check", "fabric", code=3)
    document = json.loads(doctor.stdout)
    assert document["counts"]["FAIL"] == 2
    assert {f["node"] for f in document["findings"] if f["severity"] == "FAIL"} == {ONE, TWO}
    refused = cluster.run("up", code=3).stderr
    assert "nothing was started" in refused
    assert f"fabric.mtu {ONE}" in refused
    assert cluster.traces() == {}


def test_two_faults_are_both_found_and_healed_one_by_one(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "hca-space")
    engine.inject(cluster.lab.base, "driver-590")
    assert examine(cluster.inventory)[0] == FOUND["hca-space"] | FOUND["driver-590"]
    engine.heal(cluster.lab.base, "hca-space")
    assert examine(cluster.inventory)[0] == FOUND["driver-590"]
    with pytest.raises(UsageError):
        engine.heal(cluster.lab.base, "unheard-of")


@pytest.mark.parametrize("name", ["half-down", "mtu-1500", "leftover"])
def test_what_is_safe_to_fix_is_fixed(name: str, cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, name)
    fixed = cluster.run("doctor", "--fix", "--yes", "--skip", "runtime.imports")
    assert f"done: {TWO}: " in fixed.stderr
    assert examine(cluster.inventory)[0] == set()


def test_fix_asks_and_takes_no_for_an_answer(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "mtu-1500")
    refused = cluster.run("doctor", "--fix", "--check", "fabric.mtu", code=2)  # stdin is closed
    assert "FAIL" in refused.stdout
    assert f"would: {TWO}: set the MTU of enP2p1s0f0np0 from 1500 to 9000" in refused.stderr
    assert examine(cluster.inventory)[0] == FOUND["mtu-1500"]


def test_the_doctor_cannot_change_a_node(cluster: Cluster) -> None:
    from sparkctl.cli.context import open_session
    from sparkctl.doctor.collect import collect

    engine.inject(cluster.lab.base, "mtu-1500")
    with open_session(cluster.inventory, read_only=True) as session:
        checks = choose_checks(["fabric.mtu"])
        planned = plan(evaluate(collect(session, session.inventory.nodes, ()), checks))
        assert [error is not None for _, error in apply(session, planned)] == [True]
    assert examine(cluster.inventory)[0] == FOUND["mtu-1500"]


def test_a_report_names_the_fault_and_no_secret(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "driver-590")
    path = cluster.lab.base / "report.html"
    cluster.run("doctor", "--skip", "runtime.imports", "--report", str(path))
    html = path.read_text()
    assert "590.44.01" in html
    assert "imitated" in html
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()


# The child listens before its parent ends.
STRANGER = """\
import os, signal, socket
server = socket.create_server(("", 6379))
if child := os.fork():
    print(child)
else:
    for descriptor in range(3):
        os.close(descriptor)
    signal.alarm(120)
    signal.pause()
"""


def test_the_secret_of_another_process_is_shown_nowhere(cluster: Cluster) -> None:
    secret, path = "sk-s3cr3t-of-theirs", cluster.lab.base / "report.html"
    node = running_nodes(cluster.lab)[ONE]
    pid = node.run("python3", "-", "--api-key", secret, text=STRANGER).strip()
    try:
        options = ("--check", "ports.free", "--report", str(path))
        printed = cluster.run("doctor", *options, code=3)
        document = cluster.run("doctor", *options, "--json", code=3).stdout
    finally:
        node.run("kill", pid)
    for shown in (printed.stdout, printed.stderr, document, path.read_text()):
        assert secret not in shown
    owner = f"taken by pid {pid} of root (uid 0): python3 - --api-key ****"
    assert owner in printed.stdout
    assert owner in path.read_text()
    path.unlink()


def test_a_log_is_decided_on_the_nodes(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "uverbs-missing")
    log = "tests/fixtures/nccl/ib-hca-missing.rank0.log"
    document = json.loads(cluster.run("doctor", "--log", log, "--json", code=3).stdout)
    assert document["cause"] == "hca-filter-no-match"
    wrong = {(f["check"], f["node"]) for f in document["decided"] if f["severity"] == "FAIL"}
    assert wrong == {("fabric.uverbs", TWO)}
    found = [(d["cause"], d["node"]) for d in document["decisions"] if d["state"] == "found"]
    assert found == [("uverbs-missing", TWO)]
