"""Packets of the lab that are lost, rejected or without a route: which half, whose fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.lab.faults import engine
from sparkctl.lab.faults.network import LOSS, RAY_PORT, loss_rules
from tests.lab.nodestate import running_nodes

if TYPE_CHECKING:
    from sparkctl.lab.lab import Lab
    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]
ONE, TWO = "spark-1", "spark-2"
SECOND = "enP2p1s0f0np0"
REJECT = f"""\
table inet sparkctl-lab-reject {{
    chain input {{
        type filter hook input priority 0
        iifname != "enP7s7" tcp dport {RAY_PORT} reject with icmpx type admin-prohibited
    }}
}}
"""


def found(cluster: Cluster, check: str) -> list[dict[str, Any]]:
    """What a check finds wrong."""
    options = ("doctor", "--json", "--check", check)
    process = cluster.start(*options)
    out, _ = process.communicate(timeout=120)
    findings: list[dict[str, Any]] = json.loads(out)["findings"]
    return [f for f in findings if f["severity"] in ("FAIL", "WARN", "UNKNOWN", "CRASH")]


def nft(lab: Lab, node: str, rules: str) -> None:
    running_nodes(lab)[node].run("nft", "--file", "-", text=rules)


@pytest.mark.parametrize("percent", [10, 30, 60])
def test_loss_is_found_on_its_half_with_its_figure(cluster: Cluster, percent: int) -> None:
    engine.inject(cluster.lab.base, "packet-loss")
    nft(cluster.lab, TWO, f"flush {LOSS}\ndelete {LOSS}\n{loss_rules(percent)}")
    lossy = found(cluster, "fabric.ping")
    assert [(f["node"], f["code"], f["severity"]) for f in lossy] == [
        (ONE, "packet-loss", "FAIL"),
        (TWO, "packet-loss", "FAIL"),
    ]
    assert {f["data"]["interface"] for f in lossy} == {SECOND}
    assert {(f["data"]["sent"], f["data"]["percent"]) for f in lossy} == {(50, percent)}


def test_a_route_that_is_missing_comes_back_by_the_remedy(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "no-route")
    (missing,) = found(cluster, "host.firewall")
    assert (missing["node"], missing["code"]) == (TWO, "no-route")
    assert missing["data"]["interfaces"] == [SECOND]
    (line,) = missing["fix"]["commands"]
    cluster.on(TWO, line)
    assert found(cluster, "host.firewall") == []
    assert found(cluster, "fabric.ping") == []


def test_a_rejection_is_no_missing_route(cluster: Cluster) -> None:
    nft(cluster.lab, ONE, REJECT)
    try:
        (rejected,) = found(cluster, "host.firewall")
    finally:
        nft(cluster.lab, ONE, "delete table inet sparkctl-lab-reject")
    assert (rejected["node"], rejected["code"]) == (ONE, "port-blocked")
    assert "rejected by ICMP" in rejected["summary"]
    assert rejected["fix"]["commands"] == ["nft list ruleset"]
    assert found(cluster, "host.firewall") == []


def test_a_blocked_port_is_found_while_a_half_is_down(cluster: Cluster) -> None:
    engine.inject(cluster.lab.base, "firewall")
    engine.inject(cluster.lab.base, "half-down")
    blocked = [f for f in found(cluster, "host.firewall") if f["severity"] == "FAIL"]
    assert [(f["node"], f["code"], f["data"]["port"]) for f in blocked] == [
        (ONE, "port-blocked", RAY_PORT)
    ]
