"""Every fault of the lab: the doctor names its cause on the right node, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.fix import apply, plan
from sparkctl.doctor.runner import choose_checks, evaluate
from sparkctl.errors import UsageError
from sparkctl.lab.faults import engine
from sparkctl.lab.faults.table import FAULTS
from tests.lab.examine import Wrong, examine, lasting
from tests.lab.nodestate import insides

if TYPE_CHECKING:
    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]
ONE, TWO = "spark-1", "spark-2"

# What each fault leads to, all of it: the expected check first, then what follows from it.
FOUND: dict[str, Wrong] = {
    # Each end of a half that is down lacks its carrier.
    "half-down": {("fabric.halves", TWO, "FAIL"), ("fabric.halves", ONE, "FAIL")},
    "half-without-address": {("fabric.addresses", TWO, "FAIL"), ("fabric.pairing", TWO, "FAIL")},
    "one-subnet": {("fabric.subnets", TWO, "FAIL"), ("fabric.pairing", TWO, "FAIL"),
                   ("fabric.ping", TWO, "FAIL")},
    "address-volatile": {("fabric.persistent", TWO, "WARN")},
    "mtu-1500": {("fabric.mtu", TWO, "FAIL"), ("fabric.ping", ONE, "FAIL")},
    "firewall": {("host.firewall", ONE, "FAIL")},
    "other-cage": {("fabric.choice", TWO, "FAIL")},
    "hca-renamed": {("fabric.hca", TWO, "FAIL")},
    # A pinned index is a warning wherever it still fits.
    "gid-index-hole": {("fabric.gid-index", TWO, "FAIL"), ("fabric.gid-index", ONE, "WARN")},
    "pcie-width-2": {("fabric.pcie", TWO, "FAIL")},
    "half-slow": {("fabric.speed", TWO, "WARN")},
    "loss-counters": {("fabric.loss", TWO, "WARN")},
    "no-rdma": {("fabric.devices", TWO, "FAIL"), ("fabric.choice", TWO, "FAIL")},
    "uverbs-missing": {("fabric.uverbs", TWO, "FAIL")},
    "uverbs-denied": {("fabric.uverbs", TWO, "FAIL")},
    "no-libibverbs": {("fabric.libraries", TWO, "FAIL")},
    "hca-netdev-name": {("fabric.hca", TWO, "FAIL")},
    "hca-space": {("fabric.hca", TWO, "FAIL")},
    "hca-quotes": {("fabric.hca", TWO, "FAIL")},
    # What the file sets turns RDMA off.
    "nccl-conf": {("settings.nccl-conf", TWO, "WARN"), ("settings.forced", TWO, "FAIL")},
    "ib-disabled-profile": {("settings.profiles", TWO, "WARN")},
    "file-hangs": {("reach.facts", TWO, "WARN")},
    "memory-low": {("host.memory", TWO, "FAIL")},
    "kho-kernel": {("host.kernel", TWO, "FAIL")},
    "driver-590": {("host.driver", TWO, "WARN")},
    "gpu-hangs": {("host.gpu", TWO, "FAIL")},
    "disk-full": {("host.disk", TWO, "FAIL")},
    "model-missing": {("model.present", TWO, "FAIL")},
    "model-truncated": {("model.present", TWO, "FAIL"), ("model.same", TWO, "WARN")},
    "ray-version": {("runtime.versions", TWO, "FAIL")},
    "ssh-down": {("reach.ssh", TWO, "FAIL")},
    "ssh-slow": {("reach.ssh", TWO, "WARN")},
    "host-key-changed": {("reach.ssh", TWO, "FAIL")},
    "clock-skew": {("host.clock", TWO, "FAIL")},
    "memlock-64k": {("fabric.memlock", TWO, "FAIL")},
    "port-taken": {("ports.free", ONE, "FAIL")},
    "foreign-ray": {("host.foreign-ray", TWO, "WARN")},
    "leftover": {("host.leftovers", TWO, "WARN")},
}  # fmt: skip
TRIED = {"fabric.ping", "fabric.loss", "host.firewall"}  # what only traffic shows
SERVING = {"ray-on-management", "api-wedged"}  # with a running cluster, in test_zz_serving.py


def test_the_table_has_every_fault() -> None:
    assert {*FOUND, *SERVING} == {*FAULTS}
    assert len(FAULTS) >= 30


def test_the_healthy_lab_has_neither_failure_nor_warning(cluster: Cluster) -> None:
    assert examine(cluster.inventory, skip=())[0] == set()


@pytest.mark.parametrize("name", ["clock-skew", "half-without-address", "leftover", "mtu-1500"])
def test_a_fault_of_the_head_is_laid_to_the_head(name: str, cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, name, ONE)
    swapped = {ONE: TWO, TWO: ONE}
    assert examine(cluster.inventory)[0] == {(c, swapped[n or ""], s) for c, n, s in FOUND[name]}


@pytest.fixture(scope="module")
def healthy(lab: Lab) -> dict[str, Any]:
    """What lasts of the healthy lab's facts."""
    return lasting(examine(lab.inventory, passive=True)[1])


@pytest.mark.parametrize("name", FOUND)
def test_a_fault_is_found_and_healed(name: str, cluster: Cluster, healthy: dict[str, Any]) -> None:
    engine.inject(cluster.lab.base, name)
    assert examine(cluster.inventory)[0] == FOUND[name]
    engine.heal(cluster.lab.base)
    # What traffic showed, it has to show no more.
    passive = not TRIED & {check for check, _, _ in FOUND[name]}
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
    assert f"{ONE}: fabric.mtu" in refused
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
    from sparkctl.doctor.collect import gather

    engine.inject(cluster.lab.base, "mtu-1500")
    with open_session(cluster.inventory, read_only=True) as session:
        checks = choose_checks(["fabric.mtu"])
        planned = plan(evaluate(gather(session, session.inventory.nodes, ()), checks))
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


# It listens already when its parent ends.
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


def test_the_secret_of_a_strangers_process_is_told_nowhere(cluster: Cluster) -> None:
    secret, path = "sk-s3cr3t-of-theirs", cluster.lab.base / "report.html"
    node = insides(cluster.lab)[ONE]
    pid = node.run("python3", "-", "--api-key", secret, text=STRANGER).strip()
    try:
        options = ("--check", "ports.free", "--report", str(path))
        printed = cluster.run("doctor", *options, code=3)
        document = cluster.run("doctor", *options, "--json", code=3).stdout
    finally:
        node.run("kill", pid)
    for told in (printed.stdout, printed.stderr, document, path.read_text()):
        assert secret not in told
    said = f"taken by pid {pid} of root (uid 0): python3 - --api-key ****"
    assert said in printed.stdout
    assert said in path.read_text()
    path.unlink()


def test_a_log_is_decided_on_the_nodes(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "uverbs-missing")
    log = "tests/fixtures/nccl/ib-hca-missing.rank0.log"
    told = json.loads(cluster.run("doctor", "--log", log, "--json", code=3).stdout)
    assert told["cause"] == "hca-filter-no-match"
    failed = {(f["check"], f["node"]) for f in told["decided"] if f["severity"] == "FAIL"}
    assert failed == {("fabric.uverbs", TWO)}
    found = [(d["cause"], d["node"]) for d in told["decisions"] if d["state"] == "found"]
    assert found == [("uverbs-missing", TWO)]
