"""What cannot be told is UNKNOWN with the reason, and hides nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.snapshot import Missing, View
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import AuthError, RemoteTimeout
from sparkctl.fabric.version import NEWEST
from sparkctl.inventory.layers import Layer
from tests.unit.doctorview import INVENTORY, examined, healthy, wrong

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding

ONE, TWO, THREE = "spark-1", "spark-2", "spark-3"
CLUSTER = {c.id for c in CHECKS if c.scope == "cluster"}


def two(view: View) -> Any:
    """The second node's facts, to be changed."""
    return view.all_facts[TWO]


def without(view: View, name: str) -> View:
    """The view without what was read of a node."""
    view.all_facts = {n: f for n, f in view.all_facts.items() if n != name}
    view.sources = {s: {n: f for n, f in v.items() if n != name} for s, v in view.sources.items()}
    return view


def said(view: View, check: str, severity: str = "UNKNOWN") -> list[tuple[str | None, str]]:
    """(node, summary) of a check's findings of one severity."""
    return [(f.node, f.summary) for f in examined(view, check) if f.severity.value == severity]


def test_a_node_that_is_not_reached_is_one_finding_and_the_rest_unknown() -> None:
    view = without(healthy(), TWO)
    view.errors = {TWO: AuthError("refused every key", hint="ssh-copy-id", node=TWO)}
    found = wrong(view)
    assert ("reach.ssh", TWO, "FAIL") in found
    assert {s for c, n, s in found if c != "reach.ssh"} == {"UNKNOWN"}
    assert not [f for f in examined(view) if f.node == TWO and f.severity.value == "OK"]
    unknown = {f.check for f in examined(view) if (f.node, f.severity.value) == (TWO, "UNKNOWN")}
    assert unknown == {c.id for c in CHECKS} - {"reach.ssh"}


@pytest.mark.parametrize("lost", [ONE, TWO])
def test_a_cluster_check_tells_of_every_node_that_it_did_not_see(lost: str) -> None:
    view = without(healthy(), lost)
    view.errors = {lost: AuthError("refused every key")}
    found = [f for f in examined(view) if f.check in CLUSTER]
    unknown = [f.check for f in found if (f.node, f.severity.value) == (lost, "UNKNOWN")]
    assert sorted(unknown) == sorted(CLUSTER)
    assert [f for f in found if f.node is None and f.severity.value == "UNKNOWN"] == []


def test_facts_that_time_out_are_no_node_out_of_reach() -> None:
    view = without(healthy(), TWO)
    view.unreadable = {TWO: RemoteTimeout("reading the facts did not end within 60 s", node=TWO)}
    assert said(view, "reach.ssh", "OK") == [(n, f"{view.node(n).host} answers in 0.10 s")
                                             for n in view.names]  # fmt: skip
    ((node, text),) = said(view, "reach.facts", "FAIL")
    assert node == TWO
    assert "answers by SSH" in text
    assert "within 60 s" in text
    assert said(view, "host.gpu") == [
        (TWO, "the facts of spark-2 could not be read, see reach.facts")
    ]


def three() -> View:
    """A third node, which lacks nothing and has addresses of its own."""
    text = INVENTORY.replace(
        "role: worker}", "role: worker}\n  - {name: spark-3, host: 10.77.0.13, role: worker}"
    )
    view = healthy(text)
    third = healthy().facts(TWO)
    for net in third["net"].values():
        net["ipv4"] = [a.replace(".12/", ".13/") for a in net["ipv4"]]
    facts = {**view.all_facts, THREE: third}
    return View(**{**_fields(view), "all_facts": facts, "asked": dict.fromkeys(facts, (0, 9e9))})


def _fields(view: View) -> dict[str, Any]:
    return {k: v for k, v in vars(view).items() if not k.startswith("_")}


@pytest.mark.parametrize(
    ("check", "group"),
    [("runtime.versions", "runtime"), ("model.same", "model")],
)
def test_what_one_node_lacks_hides_no_other_in_a_cluster_check(check: str, group: str) -> None:
    view = three()
    del two(view)[group]
    two(view)["unread"][group] = "PermissionError: no"
    found = {f.node: f.severity.value for f in examined(view, check)}
    assert found == {TWO: "UNKNOWN", THREE: "OK"}


GROUPS = ["ib", "net", "memory", "system", "disk", "sudo", "verbs", "counters",
          "settings", "persistence", "runtime", "model", "ports", "ours", "foreign_rays", "state",
          "gpu"]  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_what_could_not_be_read_is_unknown_with_the_reason(group: str) -> None:
    view = healthy()
    del two(view)[group]
    two(view)["unread"][group] = "PermissionError: no"
    found = [f for f in examined(view) if f.severity.value not in ("OK", "INFO")]
    assert {f.severity.value for f in found} == {"UNKNOWN"}
    assert any("PermissionError" in f.summary for f in found)
    assert said(view, "reach.facts") == [(TWO, f"{group}: PermissionError: no")]


def drop_after(view: View) -> None:
    view.sources["peers"][TWO]["counters"] = {}


def no_versions(view: View) -> None:
    for name in view.names:
        view.facts(name)["runtime"]["versions"] = {}


def no_metadata_of_ray(view: View) -> None:
    for name in view.names:
        del view.facts(name)["runtime"]["versions"]["ray"]


def no_venv_on_the_head(view: View) -> None:
    view.facts(ONE)["runtime"]["exists"] = False


def nothing_computes(view: View) -> None:
    two(view)["gpu"]["gpu_processes"] = None


def no_ping(view: View) -> None:
    for ping in view.sources["peers"][TWO]["pings"]:
        ping.update(error="ping: No such file", problem="ping: No such file")


def no_pcie(view: View) -> None:
    two(view)["net"]["enp1s0f0np0"]["pcie_width"] = None


def no_digests(view: View) -> None:
    for name in view.names:
        view.facts(name)["model"]["digest"] = None


def hung_mount(view: View) -> None:
    two(view)["disk"]["model"].update(free=None, total=None)


def no_driver(view: View) -> None:
    two(view)["gpu"]["gpus"][0]["driver"] = "[N/A]"


@pytest.mark.parametrize(
    ("change", "check", "node"),
    [
        (drop_after, "fabric.loss", TWO),
        (no_versions, "runtime.versions", None),
        (no_metadata_of_ray, "runtime.versions", TWO),
        (no_venv_on_the_head, "runtime.versions", None),
        (nothing_computes, "host.gpu", TWO),
        (no_ping, "fabric.ping", TWO),
        (no_pcie, "fabric.pcie", TWO),
        (no_digests, "model.same", None),
        (hung_mount, "host.disk", TWO),
        (no_driver, "host.driver", TWO),
    ],
)
def test_what_could_not_be_seen_is_never_well(change: Any, check: str, node: str | None) -> None:
    view = healthy()
    change(view)
    found = {f.severity.value for f in examined(view, check) if f.node == node}
    assert "UNKNOWN" in found
    assert not found & {"FAIL", "WARN", "CRASH", "INFO"}
    if check not in ("fabric.loss", "fabric.pcie"):  # those tell of each half
        assert "OK" not in found


def test_a_half_that_was_never_pinged_is_unknown() -> None:
    view = healthy()
    del view.sources["peers"][TWO]["pings"][1]
    assert said(view, "fabric.ping") == [
        (TWO, "no ping from enP2p1s0f0np0 to spark-1: it was not sent")
    ]
    assert said(view, "fabric.ping", "OK") == []


def test_a_ping_that_fails_leaves_no_word_of_success() -> None:
    view = healthy()
    view.sources["peers"][TWO]["pings"][0]["error"] = "100% packet loss"
    (finding,) = examined(view, "fabric.ping")
    assert finding.severity.value == "FAIL"
    assert finding.node == TWO


def test_a_half_that_is_down_is_not_pinged_and_said_so() -> None:
    view = healthy()
    two(view)["ib"]["roceP2p1s0f0"]["ports"]["1"]["state"] = "DOWN"
    for name in view.names:
        del view.sources["peers"][name]["pings"][1]
    assert said(view, "fabric.ping") == [
        (ONE, "no ping from enP2p1s0f0np0 to spark-2: enP2p1s0f0np0 there is not ACTIVE"),
        (TWO, "no ping from enP2p1s0f0np0 to spark-1: it is not ACTIVE"),
    ]


def test_a_fabric_without_rdma_has_no_halves_to_be_content_with() -> None:
    view = healthy(
        INVENTORY.replace("role: worker", "role: worker, fabric: {interfaces: [enP7s7]}")
    )
    assert said(view, "fabric.halves") == [(TWO, "no RDMA device belongs to enP7s7")]
    assert [f.node for f in examined(view, "fabric.mtu") if f.severity.value == "OK"] == [ONE, ONE]


def test_halves_without_a_common_subnet_are_a_failure() -> None:
    view = healthy()
    for octet, interface in ((8, "enp1s0f0np0"), (9, "enP2p1s0f0np0")):
        two(view)["net"][interface]["ipv4"] = [f"192.168.{octet}.12/24"]
    for name in view.names:
        view.sources["peers"][name]["pings"] = []
    ((node, text),) = said(view, "fabric.ping", "FAIL")
    assert (node, text) == (TWO, "no half of spark-1 shares a subnet with one of spark-2")


def generated(**grown: int) -> View:
    """A pair whose counters were read around a generation, on the second node with this growth."""
    view = healthy()
    before = {name: view.facts(name)["counters"] for name in view.names}
    after = {name: {d: dict(c) for d, c in found.items()} for name, found in before.items()}
    for counter, events in grown.items():
        after[TWO]["rocep1s0f0"][counter] += events
    view.sources["generation"] = {ONE: {"tokens": 4, "before": before, "after": after}}
    return view


def test_loss_under_rdma_traffic_is_found_though_pings_lose_nothing() -> None:
    (finding,) = [
        f for f in examined(generated(packet_seq_err=10**6)) if f.severity.value == "WARN"
    ]
    assert (finding.check, finding.node) == ("fabric.loss", TWO)
    assert "packet_seq_err +1000000 while tokens were generated" in finding.summary
    assert wrong(generated(port_xmit_data=10**6)) == set()


def test_counters_that_could_not_be_read_around_a_generation_are_unknown() -> None:
    view = generated()
    del view.sources["generation"][ONE]["after"][TWO]
    assert {n for n, _ in said(view, "fabric.loss")} == {TWO}


def named(name: str) -> View:
    """`doctor NODE`: one node is asked about, facts are there of all."""
    view = healthy()
    view.nodes = tuple(n for n in view.nodes if n.name == name)
    return view


@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_named_node_is_checked_with_its_peers(name: str) -> None:
    view = named(name)
    assert wrong(view) == set()
    checks = {f.check for f in examined(view)}
    assert checks >= {"fabric.pairing", "fabric.ping", "host.firewall", "fabric.loss"}
    others = [f for f in examined(view) if f.scope == "node" and f.node != name]
    assert others == []


def test_all_nodes_are_held_against_a_head_that_is_named() -> None:
    view = named(ONE)
    two(view)["runtime"]["versions"]["ray"] = "2.59.0"
    assert wrong(view) == {("runtime.versions", TWO, "FAIL")}


def test_what_hangs_is_told_and_what_it_holds_is_unknown() -> None:
    view = healthy()
    del two(view)["settings"]
    two(view)["unread"]["settings"] = "TimeoutError: no answer within 6 s"
    found = wrong(view)
    assert {w for w in found if w[2] != "UNKNOWN"} == {("reach.facts", TWO, "WARN")}
    assert ("settings.profiles", TWO, "UNKNOWN") in found


def test_pairs_are_those_of_the_named_nodes() -> None:
    view = three()
    view.nodes = (view.node(TWO),)
    pairs: list[Finding] = examined(view, "fabric.pairing")
    assert [f.summary for f in pairs if f.severity.value == "OK"] == [
        "the halves of spark-1 and spark-2 fit", "the halves of spark-2 and spark-3 fit",
    ]  # fmt: skip


@pytest.mark.parametrize(("peer", "severity"), [(1500, "WARN"), (9000, "FAIL")])
def test_the_mtu_of_a_named_node_is_held_against_its_peers(peer: int, severity: str) -> None:
    view = named(TWO)
    two(view)["net"]["enp1s0f0np0"]["mtu"] = 1500
    view.facts(ONE)["net"]["enp1s0f0np0"]["mtu"] = peer
    assert ("fabric.mtu", TWO, severity) in wrong(view)


OTHER_CAGE = INVENTORY.replace("role: worker", "role: worker, fabric: {cage: 7}")
CONF = {"path": "/etc/nccl.conf", "values": {"NCCL_NET": "Socket"}}
PROFILE = {"path": "/root/.bashrc", "line": 1, "name": "NCCL_IB_DISABLE", "value": "1"}


def cageless() -> View:
    """The second node's fabric is not known."""
    view = healthy(OTHER_CAGE)
    assert view.choice_error(TWO) is not None
    return view


def test_a_fabric_that_is_not_known_hides_no_setting_that_was_read() -> None:
    view = cageless()
    two(view)["settings"]["conf"] = [CONF]
    two(view)["settings"]["profiles"] = [PROFILE]
    found = {w for w in wrong(view) if w[0].startswith("settings") and w[2] != "UNKNOWN"}
    assert found == {
        ("settings.nccl-conf", TWO, "WARN"),
        ("settings.forced", TWO, "FAIL"),
        ("settings.profiles", TWO, "WARN"),
    }
    assert [f.severity.value for f in examined(view, "settings.memory-monitor")] == ["OK", "OK"]


@pytest.mark.parametrize("variable", ["NCCL_IB_HCA", "NCCL_SOCKET_IFNAME", "VLLM_HOST_IP"])
def test_what_follows_from_an_unknown_fabric_is_unknown_not_absent(variable: str) -> None:
    view = cageless()
    two(view)["settings"]["session"][variable] = "of the login"
    why = f"the fabric of {TWO} is not known, see fabric.choice"
    for found in (view.planned(TWO), view.environment(TWO), view.effective(TWO)):
        with pytest.raises(Missing, match=why):
            found.get(variable)
        with pytest.raises(Missing, match=why):
            dict(found)
    two(view)["settings"]["conf"] = [{"path": "/etc/nccl.conf", "values": {variable: "x"}}]
    assert said(view, "settings.nccl-conf") == [], "whatever `up` sets wins over the file"
    line = {"path": "/etc/environment", "line": 3, "name": variable, "value": "x"}
    two(view)["settings"]["profiles"] = [line, PROFILE]
    told = f"/etc/environment:3 sets {variable}=x; what `up` sets: {why}"
    assert said(view, "settings.profiles") == [(TWO, told)]
    assert ("settings.profiles", TWO, "WARN") in wrong(view), "the next line is looked at too"


def test_what_a_layer_sets_without_the_fabric_is_known_without_it() -> None:
    view = cageless()
    view.layers = [Layer("mine", {"NCCL_IB_HCA": "rocep1s0f0", "A": "${NODE}", "B": "x${HCAS}"})]
    found = view.environment(TWO)
    assert (found["NCCL_IB_HCA"], found["A"]) == ("rocep1s0f0", TWO)
    assert view.origin(TWO, "NCCL_IB_HCA") == "layer mine"
    with pytest.raises(Missing):
        found.get("B")


def test_the_version_of_nccl_is_the_newest_where_the_runtime_could_not_be_read() -> None:
    view = healthy()
    two(view)["runtime"]["versions"]["nvidia_nccl_cu13"] = "2.28.9"
    assert view.nccl_version(TWO) == (2, 28, 9)
    del two(view)["runtime"]
    assert view.nccl_version(TWO) == NEWEST
    with pytest.raises(Missing):
        without(healthy(), TWO).nccl_version(TWO)
