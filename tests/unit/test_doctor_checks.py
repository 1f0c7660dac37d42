"""Each check on a healthy pair of which one thing was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.cluster.record import make, text
from sparkctl.doctor.explain import entries
from sparkctl.doctor.finding import Finding, Severity
from sparkctl.doctor.table import CHECKS
from sparkctl.inventory.layers import Layer
from tests.unit.doctorview import INVENTORY, examined, healthy, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.doctor.snapshot import View

TWO = "spark-2"
GIB = 2**30


def two(view: View) -> Any:
    """The second node's facts, to be changed."""
    return view.all_facts[TWO]


def half_down(view: View) -> None:
    net = two(view)["net"]["enP2p1s0f0np0"]
    net.update(up=False, carrier=None, operstate="down")
    two(view)["ib"]["roceP2p1s0f0"]["ports"]["1"].update(state="DOWN", phys_state="Disabled")


def both_down(view: View) -> None:
    for interface, hca in (("enp1s0f0np0", "rocep1s0f0"), ("enP2p1s0f0np0", "roceP2p1s0f0")):
        two(view)["net"][interface].update(up=False, carrier=None, operstate="down")
        two(view)["ib"][hca]["ports"]["1"].update(state="DOWN", phys_state="Disabled")


def test_two_halves_that_are_down_are_told_and_can_be_brought_up() -> None:
    view = healthy()
    both_down(view)
    found = [f for f in examined(view, "fabric.halves") if f.node == TWO]
    assert ["administratively down" in f.summary for f in found] == [True, True]
    assert [f.fix is not None and len(f.fix.actions) for f in found] == [1, 1]
    (choice,) = [f for f in examined(view, "fabric.choice") if f.node == TWO]
    assert choice.fix is not None
    assert "enp1s0f0np0, enP2p1s0f0np0 up" in choice.fix.text


def no_carrier(view: View) -> None:
    two(view)["net"]["enP2p1s0f0np0"]["carrier"] = 0
    two(view)["ib"]["roceP2p1s0f0"]["ports"]["1"].update(state="DOWN", phys_state="Polling")


def half_gone(view: View) -> None:
    del two(view)["ib"]["roceP2p1s0f0"]


def one_subnet(view: View) -> None:
    two(view)["net"]["enP2p1s0f0np0"]["ipv4"] = ["192.168.100.13/24"]


def no_address(view: View) -> None:
    two(view)["net"]["enP2p1s0f0np0"]["ipv4"] = []


def mtu(view: View) -> None:
    two(view)["net"]["enp1s0f0np0"]["mtu"] = 1500


def gid_gone(view: View) -> None:
    gids = two(view)["ib"]["rocep1s0f0"]["ports"]["1"]["gids"]
    del gids[2:]


def set_fact(*path: str, value: Any) -> Callable[[View], None]:
    def change(view: View) -> None:
        place = two(view)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def stray(view: View) -> None:
    two(view)["ours"] = [
        {"pid": 9, "role": "vllm", "command": "python", "run": "old", "cluster": "lab",
         "environment": None, "libraries": {}}
    ]  # fmt: skip


def ping_lost(view: View) -> None:
    view.sources["peers"][TWO]["pings"][0]["error"] = "100% packet loss"


def blocked(view: View) -> None:
    view.sources["peers"]["spark-1"]["connects"][0]["error"] = "no answer within 2 s"


def loses(view: View) -> None:
    view.sources["peers"][TWO]["counters"]["rocep1s0f0"]["packet_seq_err"] += 5


def skewed(view: View) -> None:
    two(view)["time"] += 120
    two(view)["time_end"] += 120


def taken(port: int, **owner: Any) -> dict[str, Any]:
    """A listener that is not ours."""
    return {"port": port, "pid": None, "uid": 1001, "user": "bob", "command": None, "cluster": "",
            **owner}  # fmt: skip


def user_without_linger(view: View) -> None:
    two(view)["uid"] = 1000
    two(view)["system"]["remove_ipc"] = True


def not_importable(view: View) -> None:
    view.sources["imports"][TWO]["vllm"] = {"version": None, "error": "undefined symbol: _ZN3c10"}


def no_program(view: View) -> None:
    two(view)["runtime"]["programs"]["ray"] = False


ROOTLESS = 0x1FFFFFFBFFF  # all but CAP_IPC_LOCK
CASES: list[tuple[Callable[[View], None], str, str]] = [
    (half_down, "fabric.halves", "FAIL"),
    (no_carrier, "fabric.halves", "FAIL"),
    (half_gone, "fabric.halves", "FAIL"),
    (one_subnet, "fabric.subnets", "FAIL"),
    (no_address, "fabric.addresses", "FAIL"),
    (mtu, "fabric.mtu", "FAIL"),
    (gid_gone, "fabric.gid", "FAIL"),
    (set_fact("ib", value={}), "fabric.devices", "FAIL"),
    (set_fact("net", "enp1s0f0np0", "speed", value=100_000), "fabric.speed", "WARN"),
    (set_fact("net", "enp1s0f0np0", "pcie_width", value="2"), "fabric.pcie", "FAIL"),
    (set_fact("verbs", "uverbs", value={}), "fabric.uverbs", "FAIL"),
    (set_fact("verbs", "uverbs", "rocep1s0f0", "error", value="EACCES"), "fabric.uverbs", "FAIL"),
    (set_fact("verbs", "library", value="no such file"), "fabric.libraries", "FAIL"),
    (set_fact("verbs", "providers", value=["efa"]), "fabric.libraries", "FAIL"),
    (set_fact("system", "capabilities", value=ROOTLESS), "fabric.memlock", "FAIL"),
    (loses, "fabric.loss", "WARN"),
    (ping_lost, "fabric.ping", "FAIL"),
    (set_fact("settings", "session", value={"NCCL_NET": "Socket"}), "settings.forced", "FAIL"),
    (set_fact("settings", "session", value={"NCCL_NET_PLUGIN": "x"}), "settings.forced", "WARN"),
    (set_fact("settings", "conf", value=[{"path": "/x", "values": {"NCCL_NET": "Socket"}}]),
     "settings.nccl-conf", "WARN"),
    (set_fact("settings", "profiles", value=[{"path": "/etc/profile.d/x.sh", "line": 1,
                                              "name": "NCCL_IB_DISABLE", "value": "1"}]),
     "settings.profiles", "WARN"),
    (set_fact("settings", "conf", value=[{"path": "/x", "values": {"NCCL_NET_PLUGIN": "x"}}]),
     "settings.forced", "WARN"),
    (set_fact("persistence", "files", value=[]), "fabric.persistent", "WARN"),
    (set_fact("ports", value=[taken(p) for p in range(10002, 20000)]), "ports.workers", "WARN"),
    (set_fact("model", "unreadable", value=[{"name": "a", "uid": 0, "user": "root",
                                             "mode": "0600"}]), "model.present", "FAIL"),
    (set_fact("runtime", "exists", value=False), "runtime.present", "FAIL"),
    (no_program, "runtime.present", "FAIL"),
    (not_importable, "runtime.imports", "FAIL"),
    (set_fact("runtime", "versions", "ray", value="2.59.0"), "runtime.versions", "FAIL"),
    (set_fact("runtime", "python", value="3.11.8"), "runtime.versions", "FAIL"),
    (set_fact("model", "exists", value=False), "model.present", "FAIL"),
    (set_fact("model", "missing", value=["model-2.safetensors"]), "model.present", "FAIL"),
    (set_fact("model", "broken", value=[{"name": "a", "wanted": 2, "found": 1}]),
     "model.present", "FAIL"),
    (set_fact("model", "digest", value="other"), "model.same", "WARN"),
    (set_fact("gpu", value={"gpus": None, "gpu_error": "did not answer", "gpu_processes": None}),
     "host.gpu", "FAIL"),
    (set_fact("gpu", "gpus", value=[]), "host.gpu", "FAIL"),
    (set_fact("gpu", "gpu_processes", value=[{"pid": 5, "name": "python"}]), "host.gpu", "WARN"),
    (set_fact("gpu", "gpus", value=[{"name": "NVIDIA GB10", "driver": "590.44"}]),
     "host.driver", "WARN"),
    (set_fact("memory", "MemAvailable", value=GIB), "host.memory", "FAIL"),
    (set_fact("memory", "SwapTotal", value=9 * GIB), "host.swap", "WARN"),
    (set_fact("disk", "temporary files", "free", value=GIB // 2), "host.disk", "FAIL"),
    (set_fact("disk", "logs", "free", value=2 * GIB), "host.disk", "WARN"),
    (set_fact("system", "limits", "nofile", value=1024), "host.login", "WARN"),
    (user_without_linger, "host.login", "WARN"),
    (set_fact("foreign_rays", value=[{"pid": 4, "uid": 1, "command": "x/raylet", "cluster": ""}]),
     "host.foreign-ray", "WARN"),
    (set_fact("state", "exists", value=True), "host.leftovers", "WARN"),
    (stray, "host.leftovers", "WARN"),
    (skewed, "host.clock", "FAIL"),
]  # fmt: skip


def test_a_healthy_pair_has_neither_failure_nor_warning() -> None:
    assert wrong(healthy()) == set()


@pytest.mark.parametrize(("change", "check", "severity"), CASES)
def test_each_fault_is_found_on_its_node(
    change: Callable[[View], None], check: str, severity: str
) -> None:
    view = healthy()
    change(view)
    assert (check, TWO, severity) in wrong(view)
    (finding, *_) = [f for f in examined(view, check) if f.severity.value == severity]
    assert finding.evidence
    assert all(e.wanted and e.found and e.where for e in finding.evidence)
    assert finding.fix is not None
    assert finding.fix.text
    assert "CRASH" not in {s for _, _, s in wrong(view)}


def dropping(*names: str) -> Layer:
    """An env layer that drops these variables from the built-in ones."""
    return Layer("mine", dict.fromkeys(names))


@pytest.mark.parametrize(
    ("value", "disabled"),
    [("1", True), ("0x1", True), ("-1", True), ("010", True),
     ("true", False), ("", False), ("0", False), ("00", False)],
)  # fmt: skip
def test_rdma_is_disabled_by_what_nccl_reads_as_a_number(value: str, disabled: bool) -> None:
    wanted = {("settings.forced", TWO, "FAIL")} if disabled else set()
    text = INVENTORY.replace("role: worker", f"role: worker, env: {{NCCL_IB_DISABLE: '{value}'}}")
    assert wrong(healthy(text)) == wanted
    view = healthy()
    two(view)["settings"]["session"] = {"NCCL_IB_DISABLE": value}
    assert wrong(view) == set(), "the built-in 0 wins"
    view = healthy()
    two(view)["settings"]["session"] = {"NCCL_IB_DISABLE": value}
    view.layers = [dropping("NCCL_IB_DISABLE")]
    assert wrong(view) == wanted


def conf(**values: str) -> list[dict[str, Any]]:
    return [{"path": "/etc/nccl.conf", "values": values}]


@pytest.mark.parametrize(
    ("dropped", "variable", "value", "check"),
    [
        ("", "NCCL_IB_GID_INDEX", "7", "fabric.gid-index"),
        ("NCCL_IB_HCA", "NCCL_IB_HCA", "enp1s0f0np0", "fabric.hca"),
        ("NCCL_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "enP7s7", "fabric.interfaces"),
        ("NCCL_IB_DISABLE", "NCCL_IB_DISABLE", "1", "settings.forced"),
    ],
)
def test_what_nccls_own_files_set_counts_where_nothing_overrides_it(
    dropped: str, variable: str, value: str, check: str
) -> None:
    def at_two(layers: list[Layer]) -> list[Finding]:
        view = healthy()
        two(view)["settings"]["conf"] = conf(**{variable: value})
        view.layers = layers
        found = [f for f in examined(view) if f.severity.value not in ("OK", "INFO")]
        return [f for f in found if f.node == TWO]

    found = at_two([dropping(dropped)] if dropped else [])
    assert {f.check for f in found} == {check, "settings.nccl-conf"}
    assert {f.severity.value for f in found if f.check == check} == {"FAIL"}
    assert any("/etc/nccl.conf" in str(f.document()) for f in found if f.check == check)
    ours = healthy().environment(TWO).get(variable, "-1")
    assert at_two([Layer("ours", {variable: ours})]) == []


def test_a_conf_file_that_was_not_read_is_unknown() -> None:
    view = healthy(INVENTORY + "env: {set: {NCCL_CONF_FILE: /opt/nccl.conf}}\n")
    assert wrong(view) == {("settings.nccl-conf", n, "UNKNOWN") for n in view.names}
    for name in view.names:
        view.facts(name)["settings"]["conf_file"] = "/opt/nccl.conf"
    assert wrong(view) == set()


@pytest.mark.parametrize(
    ("value", "severity"),
    [(None, "WARN"), ("10.77.0.12", "WARN"), ("192.168.100.11", "FAIL"), ("192.168.100.12", None)],
)
def test_vllms_own_address_is_the_fabrics(value: str | None, severity: str | None) -> None:
    view = healthy(INVENTORY.replace("role: worker", f"role: worker, env: {{VLLM_HOST_IP: {value}}}"
                                     if value else "role: worker"))  # fmt: skip
    view.layers = [] if value else [dropping("VLLM_HOST_IP")]
    told = {(s, n) for c, n, s in wrong(view) if c == "fabric.interfaces" and n == TWO}
    assert told == ({(severity, TWO)} if severity else set())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (INVENTORY + "env: {set: {VLLM_USE_RAY_V2_EXECUTOR_BACKEND: '0'}}\n", "overwrites"),
        (INVENTORY.replace("arguments: {", "arguments: {compilation-config: null, "),
         "deadlocks"),
    ],
)  # fmt: skip
def test_what_is_known_to_go_wrong_is_told(text: str, said: str) -> None:
    view = healthy(text)
    found = [f for f in examined(view, "settings.recipe") if f.severity.value == "WARN"]
    assert [f.node for f in found] == view.names
    assert all(said in f.summary for f in found)
    assert {c for c, _, _ in wrong(view)} == {"settings.recipe"}


@pytest.mark.parametrize("value", [None, "250"])
def test_rays_memory_monitor_must_be_off(value: str | None) -> None:
    view = healthy()
    view.layers = [Layer("mine", {"RAY_memory_monitor_refresh_ms": value})]
    assert wrong(view) == {("settings.memory-monitor", n, "WARN") for n in view.names}


@pytest.mark.parametrize("given", ["hcas: [rocep1s0f0]", "interfaces: [enp1s0f0np0]"])
def test_a_half_that_the_inventory_leaves_out_on_every_node_is_told(given: str) -> None:
    text = INVENTORY.replace("role: head", f"role: head, fabric: {{{given}}}")
    view = healthy(text.replace("role: worker", f"role: worker, fabric: {{{given}}}"))
    assert wrong(view) == {("fabric.halves", n, "WARN") for n in view.names}
    (one, _) = [f for f in examined(view, "fabric.halves") if f.severity.value == "WARN"]
    assert one.summary.startswith("roceP2p1s0f0 is ACTIVE with 192.168.101.11/24")
    assert one.evidence[0].found == "rocep1s0f0"


def test_subnets_that_leave_a_half_out() -> None:
    view = healthy(INVENTORY + "fabric: {subnets: [192.168.100.0/24]}\n")
    assert wrong(view) == {("fabric.halves", n, "WARN") for n in view.names}


def test_the_same_address_on_two_nodes() -> None:
    view = healthy()
    net = two(view)["net"]["enp1s0f0np0"]
    net["ipv4"] = view.facts("spark-1")["net"]["enp1s0f0np0"]["ipv4"]
    found = [f for f in examined(view, "fabric.pairing") if f.severity.value == "FAIL"]
    assert [(f.node, f.summary) for f in found] == [
        (TWO, "duplicate address 192.168.100.11, also assigned on spark-1")
    ]


def file(path: str = "/etc/netplan/x.yaml", **found: Any) -> dict[str, Any]:
    """One of the node's network files, which names nothing but what is given."""
    return {"path": path, "addresses": [], "interfaces": [], "dhcp": False, "link_local": False,
            **found}  # fmt: skip


def test_one_half_that_is_in_no_network_file() -> None:
    view = healthy()
    two(view)["persistence"]["files"] = [file(addresses=["192.168.100.12", "192.168.101.11"])]
    (finding,) = [f for f in examined(view, "fabric.persistent") if f.severity.value == "WARN"]
    assert finding.summary.startswith("192.168.101.12/24 of enP2p1s0f0np0 is in no network file")
    assert "192.168.101.11 in /etc/netplan/x.yaml" in finding.evidence[0].found


def test_network_files_that_may_not_be_read_are_unknown() -> None:
    view = healthy()
    two(view)["persistence"] = {"files": [], "unread": ["/etc/netplan/60-fabric.yaml"]}
    assert wrong(view) == {("fabric.persistent", TWO, "UNKNOWN")}
    (one, _) = [f for f in examined(view, "fabric.persistent") if f.node == TWO]
    assert "root may not read /etc/netplan/60-fabric.yaml" in one.summary


@pytest.mark.parametrize(("way", "address", "kept"), [
    ("dhcp", "192.168.100.12/24", True), ("link_local", "192.168.100.12/24", False),
    ("dhcp", "169.254.100.12/16", False), ("link_local", "169.254.100.12/16", True),
])  # fmt: skip
def test_addresses_that_no_file_names(way: str, address: str, kept: bool) -> None:
    view = healthy()
    two(view)["net"]["enp1s0f0np0"]["ipv4"] = [address]
    two(view)["persistence"]["files"] = [
        {**file(interfaces=["enp1s0f0np0"]), way: True},
        file(addresses=["192.168.101.12"]),
    ]
    assert (("fabric.persistent", TWO, "WARN") not in wrong(view)) is kept


@pytest.mark.parametrize(
    ("release", "cma", "cmdline", "severity"),
    [
        ("7.0.0-1019-nvidia", 0, "quiet", "FAIL"),
        ("7.0.0-31-generic", 0, "quiet", "FAIL"),
        ("7.0.0-1020-nvidia", 0, "quiet", "WARN"),
        ("7.0.0-310-generic", 0, "quiet", "WARN"),
        ("7.0.0-1019-nvidia", 0, "quiet kho=off", "OK"),
        ("7.0.0-1019-nvidia", GIB, "quiet", "OK"),
        ("7.0.0-1019-nvidia", None, "quiet", "UNKNOWN"),
        ("7.0.0-1019-nvidia", 0, None, "UNKNOWN"),
        ("6.17.0-1008-nvidia", 0, "quiet", "OK"),
        ("6.17.0-1008-nvidia", None, "quiet", "OK"),
        (None, 0, "quiet", "UNKNOWN"),
    ],
)
def test_kho_needs_all_three_signs(
    release: str | None, cma: int | None, cmdline: str | None, severity: str
) -> None:
    view = healthy()
    two(view)["system"].update(kernel=release, cmdline=cmdline)
    if cma is not None:
        two(view)["memory"]["CmaTotal"] = cma
    (found,) = [f for f in examined(view, "host.kernel") if f.node == TWO]
    assert found.severity.value == severity


def test_few_files_do_not_hide_that_shared_memory_is_removed() -> None:
    view = healthy()
    user_without_linger(view)
    two(view)["system"]["limits"]["nofile"] = 1024
    said = [f.summary for f in examined(view, "host.login") if f.node == TWO]
    assert len(said) == 2
    assert "1024 open files" in said[0]
    assert "shared memory" in said[1]
    two(view)["system"]["linger"] = True
    assert len([f for f in examined(view, "host.login") if f.node == TWO]) == 1


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (set_fact("sudo", value=False), "reach.sudo", "may not act as root"),
        (set_fact("model", value={"is_path": False}), "model.present", "is a hub's name"),
    ],
)
def test_what_is_only_worth_knowing_is_no_warning(
    change: Callable[[View], None], check: str, said: str
) -> None:
    view = healthy()
    change(view)
    (finding,) = [f for f in examined(view, check) if f.node == TWO]
    assert finding.severity.value == "INFO"
    assert said in finding.summary


def test_an_mtu_that_both_ends_have_is_a_warning() -> None:
    view = healthy()
    for name in view.names:
        view.facts(name)["net"]["enp1s0f0np0"]["mtu"] = 1500
    assert wrong(view) == {("fabric.mtu", n, "WARN") for n in view.names}
    said = next(f.summary for f in examined(view, "fabric.mtu") if f.severity.value == "WARN")
    assert said == "enp1s0f0np0 has MTU 1500, wanted 9000; the other end agrees"


def test_an_mtu_of_which_the_other_end_is_not_known_is_no_failure() -> None:
    view = healthy()
    mtu(view)
    del view.facts("spark-1")["net"]
    found = [f for f in examined(view, "fabric.mtu") if f.node == TWO]
    assert [f.severity.value for f in found] == ["WARN", "OK"]
    assert "the other end is not known" in found[0].summary


def test_a_refusal_where_our_ray_listens_is_a_firewall_that_rejects() -> None:
    view = healthy()
    refused = view.sources["peers"][TWO]["connects"][0]
    assert (refused["port"], refused["error"]) == (6379, "refused")
    gcs = {"port": 6379, "pid": 7, "uid": 0, "command": "gcs_server", "cluster": "lab"}
    view.facts("spark-1")["ports"].append(gcs)
    (finding,) = [f for f in examined(view, "host.firewall") if f.severity.value == "FAIL"]
    assert finding.node == "spark-1"
    assert "192.168.100.11:6379: refused, though pid 7 listens" in finding.summary
    assert finding.fix is not None
    assert finding.fix.commands == ("sudo ufw allow from 192.168.100.0/24",)
    gcs["cluster"] = ""  # a stranger's may listen on the loopback alone
    assert {f.severity.value for f in examined(view, "host.firewall")} == {"OK"}


def test_a_vllm_on_the_loopback_alone_refuses_by_itself() -> None:
    view = healthy(INVENTORY.replace("vllm: {", "vllm: {host: 127.0.0.1, "))
    listener = {"port": 30000, "pid": 7, "uid": 0, "command": "vllm", "cluster": "lab"}
    view.facts("spark-1")["ports"].append(listener)
    assert wrong(view) == set()


def test_a_port_that_was_not_tried_is_unknown() -> None:
    view = healthy()
    del view.sources["peers"][TWO]["connects"][0]
    assert wrong(view) == {("host.firewall", "spark-1", "UNKNOWN")}
    view.sources["peers"][TWO]["connects"] = []
    (finding,) = [f for f in examined(view, "host.firewall") if f.node == "spark-1"]
    assert finding.severity.value == "UNKNOWN"


def test_a_blocked_port_is_laid_to_the_node_that_drops() -> None:
    view = healthy()
    blocked(view)
    assert wrong(view) == {("host.firewall", TWO, "FAIL")}


VALUES = [
    ("enp1s0f0np0,enP2p1s0f0np0", "is a network interface"),
    ("rocep1s0f0, roceP2p1s0f0", "a space becomes part of a name"),
    ("'\"rocep1s0f0,roceP2p1s0f0\"'", "a quote becomes part of a name"),
    ("rocep1s0f0", "half of the cable is idle"),
    ("rocep1s0f1,roceP2p1s0f1", "is not ACTIVE: it is of cage 1, the cable is in 0"),
]


@pytest.mark.parametrize(("value", "said"), VALUES)
def test_mistakes_in_the_hca_list_are_told_apart(value: str, said: str) -> None:
    text = INVENTORY.replace("role: worker", f'role: worker, env: {{NCCL_IB_HCA: "{value}"}}')
    if value.startswith("'"):
        text = INVENTORY.replace("role: worker", f"role: worker, env: {{NCCL_IB_HCA: {value}}}")
    view = healthy(text)
    assert wrong(view) == {("fabric.hca", TWO, "FAIL")}
    (finding,) = [f for f in examined(view, "fabric.hca") if f.node == TWO]
    assert said in finding.summary
    assert f"layer node {TWO}" in finding.evidence[0].where


@pytest.mark.parametrize("value", ["roce", "rocep1s0f,roceP2p1s0f0", "^mlx5"])
def test_a_prefix_that_takes_the_other_cage_as_well(value: str) -> None:
    text = INVENTORY.replace("role: worker", f'role: worker, env: {{NCCL_IB_HCA: "{value}"}}')
    view = healthy(text + "fabric: {cage: 0}\n")
    assert wrong(view) == set(), "the other cage is down"
    for hca in ("rocep1s0f1", "roceP2p1s0f1"):
        two(view)["ib"][hca]["ports"]["1"].update(state="ACTIVE", phys_state="LinkUp")
    assert wrong(view) == {("fabric.hca", TWO, "FAIL")}
    (finding,) = [f for f in examined(view, "fabric.hca") if f.node == TWO]
    assert "rocep1s0f1 as well, of another cable" in finding.summary.replace(
        "roceP2p1s0f1, rocep1s0f1", "rocep1s0f1"
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [("NCCL_SOCKET_IFNAME", "enP7s7"), ("NCCL_SOCKET_IFNAME", "eth9"),
     ("GLOO_SOCKET_IFNAME", "eth9"), ("TP_SOCKET_IFNAME", "enP7s7"), ("UCX_NET_DEVICES", "eth9"),
     ("GLOO_SOCKET_IFNAME", "enp1s0f0np0:1"), ("UCX_NET_DEVICES", "rocep1s0f0:2"),
     ("UCX_NET_DEVICES", "rocep1s0f0:1,rocep1s0f1:1")],
)  # fmt: skip
def test_interfaces_that_are_not_the_fabrics(variable: str, value: str) -> None:
    text = INVENTORY.replace("role: worker", f"role: worker, env: {{{variable}: {value}}}")
    view = healthy(text.replace(f": {value}}}", f": '{value}'}}"))
    assert wrong(view) == {("fabric.interfaces", TWO, "FAIL")}
    (finding,) = [f for f in examined(view, "fabric.interfaces") if f.node == TWO]
    assert finding.summary.startswith(f"{variable}={value} ")


@pytest.mark.parametrize("value", ["all", "rocep1s0f0:1,roceP2p1s0f0:1", "rocep1s0f0",
                                   "enp1s0f0np0,enP2p1s0f0np0"])  # fmt: skip
def test_what_ucx_may_be_given(value: str) -> None:
    text = f"env: {{set: {{UCX_NET_DEVICES: '{value}'}}}}\n"
    assert wrong(healthy(INVENTORY + text)) == set()


def test_sockets_that_take_more_than_the_fabric() -> None:
    text = "env: {set: {NCCL_SOCKET_IFNAME: 'enp1s0f0np0,enP7s7'}}\n"
    view = healthy(INVENTORY + text)
    net = two(view)["net"]
    two(view)["net"] = {n: net[n] for n in sorted(net, key=lambda n: n != "enp1s0f0np0")}
    assert ("fabric.interfaces", TWO, "WARN") in wrong(view)
    assert wrong(healthy(INVENTORY + text.replace("P7s7", "P2p1s0f0np0"))) == set(), "a half"


def test_a_forced_family_that_the_fabric_has_no_address_of() -> None:
    text = INVENTORY.replace("role: worker", "role: worker, env: {NCCL_SOCKET_FAMILY: AF_INET6}")
    view = healthy(text)
    assert wrong(view) == set()  # its link-local address counts
    two(view)["net"]["enp1s0f0np0"]["ipv6"] = []
    assert wrong(view) == {("fabric.interfaces", TWO, "FAIL")}
    (finding,) = [f for f in examined(view, "fabric.interfaces") if f.node == TWO]
    assert finding.summary == (
        "NCCL_SOCKET_FAMILY=AF_INET6 selects nothing: NCCL ends at its start;"
        " enp1s0f0np0: it has no address of NCCL_SOCKET_FAMILY=AF_INET6"
    )
    assert finding.evidence[0].where == f"layer node {TWO}"


def test_a_pinned_gid_index_is_checked_on_every_hca() -> None:
    pinned = INVENTORY + 'env: {set: {NCCL_IB_GID_INDEX: "3"}}\n'
    view = healthy(pinned)
    assert wrong(view) == {("fabric.gid-index", n, "WARN") for n in view.names}
    gids = two(view)["ib"]["roceP2p1s0f0"]["ports"]["1"]["gids"]
    gids[3]["index"] = 5
    assert ("fabric.gid-index", TWO, "FAIL") in wrong(view)


def test_an_explicit_fabric_that_is_not_there() -> None:
    text = INVENTORY.replace("role: worker", "role: worker, fabric: {hcas: [mlx5_0]}")
    found = wrong(healthy(text))
    assert ("fabric.choice", TWO, "FAIL") in found
    assert {s for c, n, s in found if c != "fabric.choice"} <= {"UNKNOWN"}


def test_a_taken_port_and_ours() -> None:
    view = healthy()
    owner = taken(6379, pid=7, uid=0, user="root", command="redis-server")
    view.facts("spark-1")["ports"].append(owner)
    assert wrong(view) == {("ports.free", "spark-1", "FAIL")}
    (finding,) = [f for f in examined(view, "ports.free") if f.severity.value == "FAIL"]
    assert "taken by pid 7 of root (uid 0): redis-server" in finding.summary
    owner.update(pid=None, uid=1001, user="bob", command=None)
    (finding,) = [f for f in examined(view, "ports.free") if f.severity.value == "FAIL"]
    assert "taken by a process of bob (uid 1001)" in finding.summary
    owner.update(user="")
    (finding,) = [f for f in examined(view, "ports.free") if f.severity.value == "FAIL"]
    assert finding.evidence[0].found == "a process of uid 1001"
    owner["cluster"] = "lab"
    reached = view.sources["peers"][TWO]["connects"][0]
    assert reached["port"] == 6379
    reached["error"] = None
    assert wrong(view) == set()


def test_a_gid_whose_type_cannot_be_read_is_unknown() -> None:
    view = healthy()
    for slot in two(view)["ib"]["roceP2p1s0f0"]["ports"]["1"]["gids"]:
        slot["type"] = None
    assert wrong(view) == {("fabric.gid", TWO, "UNKNOWN")}


def test_rays_worker_ports_as_the_inventory_has_them() -> None:
    view = healthy(INVENTORY + "ray: {min_worker_port: 21000, max_worker_port: 21039}\n")
    two(view)["ports"] = [taken(p) for p in range(21000, 21008)]
    assert wrong(view) == set()
    two(view)["ports"].append(taken(21008))
    assert wrong(view) == {("ports.workers", TWO, "WARN")}
    for owner in two(view)["ports"]:
        owner["cluster"] = "lab"
    assert wrong(view) == set()


def test_every_check_is_documented_and_none_is_made_up() -> None:
    ids = [c.id for c in CHECKS]
    assert sorted(entries()) == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(all(vars(entry).values()) for entry in entries().values())
    assert {c.scope for c in CHECKS} == {"node", "pair", "cluster"}


@pytest.mark.parametrize("written", [None, "", "[1]"])
def test_without_a_record_nothing_that_runs_is_called_a_leftover(written: str | None) -> None:
    """Else `doctor --fix` would offer to end a cluster that serves."""
    view = healthy()
    stray(view)
    view.facts("spark-2")["state"].update(exists=True, files={"applied.json": written})
    (found,) = [f for f in examined(view, "host.leftovers") if f.node == "spark-2"]
    assert found.severity is Severity.UNKNOWN
    assert found.fix is None


@pytest.mark.parametrize("written", [None, "{", '{"schema": 1, "units": {}}'])
def test_without_the_heads_record_no_rank_is_called_a_leftover(written: str | None) -> None:
    """A worker's own record does not have the run of a vLLM that was started later."""
    view = healthy()
    stray(view)
    recorded = text({"ray": make("r1", (), {})})
    view.facts(TWO)["state"].update(exists=True, files={"applied.json": recorded})
    view.facts("spark-1")["state"].update(exists=True, files={"applied.json": written})
    (found,) = [f for f in examined(view, "host.leftovers") if f.node == TWO]
    assert (found.severity, found.fix) == (Severity.UNKNOWN, None)
    assert found.summary.endswith("on spark-1")


def test_a_vllm_on_the_head_that_is_not_recorded_leaves_every_run_unknown() -> None:
    view = healthy()
    stray(view)
    view.facts("spark-1")["ours"] = [{**two(view)["ours"][0], "command": "python vllm serve m"}]
    recorded = text({"ray": make("r1", (), {})})
    for name in ("spark-1", TWO):
        view.facts(name)["state"].update(exists=True, files={"applied.json": recorded})
    found = examined(view, "host.leftovers")
    assert [f.severity for f in found] == [Severity.UNKNOWN] * 2
    assert not any(f.fix for f in found)
