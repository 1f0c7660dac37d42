"""`fabric show` and `fabric match --node` on the lab's nodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.lab.faults import engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.cluster import Cluster

pytestmark = pytest.mark.lab


def document(cluster: Cluster, *args: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.run("fabric", *args, "--json", code=code).stdout)
    return found


@pytest.fixture
def one_half_down(cluster: Cluster) -> Iterator[None]:
    cluster.on("spark-2", "ip link set enP2p1s0f0np0 down")
    yield
    cluster.on(
        "spark-2",
        "ip link set enP2p1s0f0np0 up && ip address replace 192.168.101.12/24 dev enP2p1s0f0np0",
    )


def test_show_draws_both_nodes_and_their_links(cluster: Cluster) -> None:
    found = document(cluster, "show")
    assert [n["name"] for n in found["nodes"]] == ["spark-1", "spark-2"]
    assert [link["subnet"] for link in found["links"]] == ["192.168.100.0/24", "192.168.101.0/24"]
    assert all(link["active"] for link in found["links"])
    assert found["alone"] == []
    assert found["errors"] == {}
    assert any("ConnectX-7" in what for what in found["imitated"])
    text = cluster.run("fabric", "show", "spark-2").stdout
    assert "GID 3: 192.168.100.12 (RoCE v2, enp1s0f0np0)  <- NCCL takes it" in text
    assert "spark-1" not in text
    assert "imitated: nodes, ConnectX-7, " in text


def test_show_uses_the_pinned_gid(cluster: Cluster, tmp_path: Path) -> None:
    pinned = cluster.changed(tmp_path / "i.yaml", env={"set": {"NCCL_IB_GID_INDEX": "0x5"}})
    found = document(pinned, "show", "spark-1")
    assert {h["gid_index"] for h in found["nodes"][0]["halves"]} == {5}


def test_show_draws_the_nodes_that_answer_and_names_the_others(
    cluster: Cluster, tmp_path: Path
) -> None:
    nodes = [
        {"name": "spark-1", "host": cluster.lab.nodes[0].address, "role": "head"},
        {"name": "gone", "host": "127.0.0.1", "role": "worker", "ssh": {"port": 1}},
    ]
    partly = cluster.changed(tmp_path / "i.yaml", nodes=nodes)
    found = document(partly, "show", code=1)
    assert [n["name"] for n in found["nodes"]] == ["spark-1"]
    assert list(found["errors"]) == ["gone"]


def test_match_uses_the_nodes_devices_and_planned_values(cluster: Cluster) -> None:
    found = document(cluster, "match", "--node", "spark-1")
    assert found["value"] == "rocep1s0f0,roceP2p1s0f0"
    assert sorted(found["selected"]) == ["roceP2p1s0f0", "rocep1s0f0"]
    assert found["warnings"] == []
    skipped = {d["name"]: d["code"] for d in found["devices"] if not d["selected"]}
    assert skipped == {"rocep1s0f1": "not-active", "roceP2p1s0f1": "not-active"}
    text = cluster.run("fabric", "match", "--node", "spark-1").stdout
    assert "NCCL_IB_HCA = rocep1s0f0,roceP2p1s0f0" in text
    assert "NCCL_SOCKET_IFNAME = enp1s0f0np0" in text
    assert "imitated: nodes, ConnectX-7, " in text


def test_match_tries_a_value_on_the_nodes_devices(cluster: Cluster) -> None:
    netdev = document(cluster, "match", "--node", "spark-2", "--hca", "enp1s0f0np0")
    assert netdev["selected"] == []
    assert [(d["code"], d["data"]) for d in netdev["doubts"]] == [
        ("other-kind", {"name": "enp1s0f0np0"})
    ]
    links = document(cluster, "match", "--node", "spark-2", "--ifname", "enP")
    assert links["selected"] == ["enP7s7", "enP2p1s0f0np0"]


@pytest.mark.usefixtures("one_half_down")
def test_a_half_that_goes_down_is_seen(cluster: Cluster) -> None:
    found = document(cluster, "match", "--node", "spark-2", "--hca", "roce")
    assert found["selected"] == ["rocep1s0f0"]
    links = {link["subnet"]: link["active"] for link in document(cluster, "show")["links"]}
    assert links == {"192.168.100.0/24": True, "192.168.101.0/24": False}


def test_a_value_can_be_tried_where_no_plan_can_be_made(cluster: Cluster, tmp_path: Path) -> None:
    head, worker = ({"name": n.name, "host": n.address} for n in cluster.lab.nodes)
    roles = ({**head, "role": "head"}, {**worker, "role": "worker"})
    nodes = [{**node, "fabric": {"hcas": ["mlx5_77"]}} for node in roles]
    unplanned = cluster.changed(tmp_path / "i.yaml", nodes=nodes)
    found = document(unplanned, "match", "--node", "spark-1", "--hca", "rocep1s0f0")
    assert found["selected"] == ["rocep1s0f0"]
    refused = unplanned.run("fabric", "match", "--node", "spark-1", code=3)
    assert "mlx5_77" in refused.stderr
    assert document(unplanned, "show")["alone"] == []


@pytest.mark.usefixtures("healed")
def test_after_a_rename_plan_and_doctor_choose_sockets_of_one_subnet(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "halves-renamed")
    planned = json.loads(cluster.run("plan", "--json").stdout)["nodes"]
    addresses = {name: part["environment"]["VLLM_HOST_IP"] for name, part in planned.items()}
    assert addresses == {"spark-1": "192.168.100.11", "spark-2": "192.168.100.12"}
    both = {"spark-1": "enp1s0f0np0", "spark-2": "enP2p1s0f0np0"}
    for names in ((), ("spark-1",), ("spark-2",)):
        printed = cluster.run("doctor", *names, "--json", "--check", "fabric.choice").stdout
        found = {f["node"]: f["data"]["interfaces"][0] for f in json.loads(printed)["findings"]}
        assert found == {name: both[name] for name in names or both}
