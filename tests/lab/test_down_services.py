"""`down SERVICE` on real nodes with the toy engine: that service's units, wherever they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.test_departed import (
    HEAD,
    STATE,
    WORKER,
    changes,
    edit,
    known,
    pair,
    ranks,
    service,
    without,
)

if TYPE_CHECKING:
    from tests.lab.cluster import Cluster

__all__ = ["pair"]  # a fixture
pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("toys")]


def test_a_record_that_is_unread_is_no_reason_to_stop_another_service(pair: Cluster) -> None:
    before = ranks(pair)
    edit(pair, services={"code": service(HEAD), "chat": service(WORKER, number=1)})  # swapped
    for write, code in ((f"echo '{{' > {STATE}", "record-damaged"), (f"rm {STATE}", "")):
        pair.on(HEAD, write)
        done = pair.run("down", "code", "--json", code=1 if code else 0)
        found = json.loads(done.stdout)
        assert [*found["codes"].values()] == [code] * bool(code)
        assert ("`sparkctl down` without a service" in done.stderr) == bool(code)
        assert ranks(pair)[HEAD] == before[HEAD], "chat runs there"
        if code:
            assert [*found["stopped"]] == [WORKER], "where code is recorded"
            assert pair.on(HEAD, f"cat {STATE}") == "{\n"
    pair.run("down", "code")
    assert ranks(pair) == {HEAD: before[HEAD], WORKER: []}


def test_a_damaged_record_does_not_hinder_where_only_that_service_runs(pair: Cluster) -> None:
    before = ranks(pair)
    pair.on(HEAD, f"echo '{{' > {STATE}")
    pair.run("down", "chat")
    assert ranks(pair) == {HEAD: [], WORKER: before[WORKER]}


def test_units_are_ended_where_they_are_recorded(pair: Cluster) -> None:
    before = ranks(pair)
    edit(pair, services={"code": service(HEAD), "chat": service(WORKER, number=1)})  # swapped
    assert pair.run("down", "chat").stdout.startswith(f"{HEAD}: ")
    assert ranks(pair) == {HEAD: [], WORKER: before[WORKER]}
    edit(pair, services={"chat": service(HEAD), "code": service(WORKER, number=1)})
    assert changes(pair, "up") == ["start toy rank 0 of chat on spark-1: not running"]
    edit(pair, services={"code": service(HEAD)})  # WORKER is of no service
    pair.run("down", "code")
    assert [len(pids) for pids in ranks(pair).values()] == [1, 0]


def test_services_that_end_in_turn_forget_no_node_that_left(pair: Cluster) -> None:
    before = ranks(pair)
    edit(pair, nodes=without(pair, WORKER), services={"new": service(HEAD)})
    pair.run("down", "new")
    assert ranks(pair) == before
    edit(pair, services={"chat": service(HEAD)})
    pair.run("down", "chat")
    assert ranks(pair) == {HEAD: [], WORKER: before[WORKER]}
    assert WORKER in known(pair, HEAD)["nodes"]
    assert f"{WORKER} is no longer in the inventory" in pair.run("down").stderr
    assert pair.traces() == {}
