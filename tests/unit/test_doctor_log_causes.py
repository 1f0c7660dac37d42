"""Which of the causes that a log leaves open the nodes show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.cause_tables import CODES, DECIDING, EXACT, REQUIRED, VARIABLES
from sparkctl.doctor.log_causes import decide, deciding
from sparkctl.doctor.runner import choose_checks, evaluate
from sparkctl.fabric.nccllog import advice
from tests.unit.doctorview import healthy
from tests.unit.nccllogs import (
    CASES,
    CONNECTED,
    NO_DEVICE,
    ON_IB,
    ON_SOCKET,
    USING_NONE,
    VIA_IB,
    VIA_SOCKET,
    Files,
    pair,
    read,
)
from tests.unit.test_codes import TREES, codes, made

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

ONE, TWO = "spark-1", "spark-2"
SILENT = pair(NO_DEVICE, USING_NONE, *ON_SOCKET, *VIA_SOCKET)
BOTH = "rocep1s0f0,roceP2p1s0f0"
ONE_HALF = (
    "NET/IB : Using [0]rocep1s0f0:1/RoCE [RO]; OOB enp1s0f0np0:1.2.3.4<0>",
    *ON_IB,
    *VIA_IB[::2],
    CONNECTED,
)
NO_REASON = pair(*ON_SOCKET, *VIA_SOCKET, version="2.20.5")


def states(answers: Answers, files: Files) -> dict[str, list[tuple[str, str | None]]]:
    """By state, the causes and nodes."""
    verdict, snapshot = read(files), answers.snapshot()
    findings = evaluate(snapshot, choose_checks(deciding(verdict)))
    found: dict[str, list[tuple[str, str | None]]] = {}
    for decision in decide(verdict, findings, snapshot):
        found.setdefault(decision.state, []).append((decision.cause, decision.node))
        assert decision.state == "open" or decision.checks
    return found


def no_uverbs(facts: dict[str, Any]) -> None:
    facts["verbs"]["uverbs"]["rocep1s0f0"]["error"] = "ENOENT"


def no_provider(facts: dict[str, Any]) -> None:
    facts["verbs"]["providers"] = []


def no_device(facts: dict[str, Any]) -> None:
    facts["ib"] = {}


def half_down(facts: dict[str, Any], hca: str) -> None:
    facts["ib"][hca]["ports"]["1"].update(state="DOWN", phys_state="Polling")


@pytest.mark.parametrize(
    ("break_it", "cause"), [(no_uverbs, "uverbs-missing"), (no_provider, "provider-missing")]
)
def test_the_candidate_that_a_node_shows_is_decided_with_the_node(
    break_it: Any, cause: str
) -> None:
    answers = healthy()
    break_it(answers.facts[TWO])
    found = states(answers, SILENT)
    assert found["found"] == [(cause, TWO)]
    others = {c for c, _ in found["not found"] + found.get("open", [])}
    assert others == {c.cause for c in advice.NO_DEVICE} - {cause}


@pytest.mark.parametrize(
    ("value", "state", "nodes"),
    [
        ("mlx5_0", "found", [ONE, TWO]),
        ("rocep1s0f1,roceP2p1s0f1", "found", [ONE, TWO]),  # the cage without a cable
        ("=rocep1s0f0", "not found", [None]),  # what `up` sets has nothing to do with it
    ],
)
def test_the_filter_of_the_log_is_tried_on_the_nodes_devices(
    value: str, state: str, nodes: list[str | None]
) -> None:
    files = pair(f"NCCL_IB_HCA set to {value}", NO_DEVICE, USING_NONE, *ON_SOCKET, *VIA_SOCKET)
    found = states(healthy(), files)
    assert [n for c, n in found[state] if c == "hca-filter-no-match"] == nodes
    unreadable = healthy()
    for name in unreadable.names:
        del unreadable.facts[name]["ib"]
    assert ("hca-filter-no-match", None) in states(unreadable, files)["open"]


def test_a_node_without_facts_leaves_the_filter_open() -> None:
    answers = healthy()
    del answers.facts[TWO]
    files = pair("NCCL_IB_HCA set to =rocep1s0f0", NO_DEVICE, USING_NONE, *ON_SOCKET, *VIA_SOCKET)
    open_causes = {cause for cause, _ in states(answers, files)["open"]}
    assert {"hca-filter-no-match", "port-down"} <= open_causes


def test_a_port_that_is_down_explains_no_device_only_where_none_that_is_named_is_active() -> None:
    files = pair(f"NCCL_IB_HCA set to {BOTH}", NO_DEVICE, USING_NONE, *ON_SOCKET, *VIA_SOCKET)
    answers = healthy()
    half_down(answers.facts[TWO], "roceP2p1s0f0")
    assert ("port-down", None) in states(answers, files)["not found"]
    half_down(answers.facts[TWO], "rocep1s0f0")
    assert ("port-down", TWO) in states(answers, files)["found"]


def test_what_one_end_reports_may_be_the_others() -> None:
    files = {name: text for name, text in CASES["retry-exceeded"][0].items() if "spark-2" in text}
    assert [f.ranks for f in read(files).findings] == [("spark-2:101",)]
    answers = healthy()
    answers.facts[ONE]["net"]["enp1s0f0np0"]["mtu"] = 1500
    assert states(answers, files)["found"] == [("mtu-mismatch", ONE)]


def test_a_filter_for_one_half_is_told_from_a_half_that_is_down() -> None:
    one = pair("NCCL_IB_HCA set to rocep1s0f0", *ONE_HALF)
    assert ("hca-filter", ONE) in states(healthy(), one)["found"]
    both = pair(f"NCCL_IB_HCA set to {BOTH}", *ONE_HALF)
    assert ("hca-filter", None) in states(healthy(), both)["not found"]


def test_what_the_nodes_do_not_show_is_said_and_what_could_not_be_read_is_open() -> None:
    answers = healthy()
    found = states(answers, SILENT)
    assert found["open"] == [("uverbs-missing", None)], "a container may have no /dev/infiniband"
    assert set(found) == {"open", "not found"}
    for name in answers.names:
        del answers.facts[name]["verbs"]
    found = states(answers, SILENT)
    assert {c for c, _ in found["open"]} == {"uverbs-missing", "provider-missing"}
    assert {c for c, _ in found["not found"]} == {"port-down", "no-hardware"}


def test_only_the_nodes_of_the_log_count_when_they_are_known() -> None:
    answers = healthy()
    no_uverbs(answers.facts[TWO])
    alone = {"rank0.log": SILENT["rank0.log"]}
    assert "found" not in states(answers, alone)
    elsewhere = {"rank0.log": SILENT["rank0.log"].replace("spark-1:", "c0ffee:")}
    assert states(answers, elsewhere)["found"] == [("uverbs-missing", TWO)]


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("NCCL_NET", "Socket", ["net-forced-socket", "plugin-only"]),
        ("NCCL_NET_PLUGIN", "libmesh.so", ["plugin-only"]),
        ("NCCL_IB_DISABLE", "1", []),  # wrong as well, and not what the log leaves open
    ],
)
def test_a_forced_setting_is_told_from_another(variable: str, value: str, found: list[str]) -> None:
    answers = healthy()
    answers.facts[ONE]["settings"]["profiles"] = [
        {"path": "/etc/environment", "line": 3, "name": variable, "value": value}
    ]
    assert {"net-forced-socket", "plugin-only"} <= {
        c.cause for f in read(NO_REASON).findings for c in f.candidates
    }
    assert [c for c, _ in states(answers, NO_REASON).get("found", [])] == found


def test_every_candidate_that_a_node_can_show_has_its_checks() -> None:
    elsewhere = {"net-forced-by-program", "folded-by-ray"}
    tables = [a.candidates for a in advice.ADVICE.values()]
    tables += [advice.NO_REASON, advice.SKIPPED_IB, advice.SILENT_DISABLE, advice.SILENT_HALF]
    causes = {c.cause for table in tables for c in table} | set(advice.ADVICE)
    assert causes - elsewhere <= set(DECIDING)
    assert {*CODES, *VARIABLES, *EXACT, *REQUIRED} <= set(DECIDING)
    choose_checks([check for checks in DECIDING.values() for check in checks])  # all are there


def test_every_code_that_shows_a_cause_is_a_findings() -> None:
    known = {code for tree in TREES.values() for call in made(tree) for code in codes(call)}
    assert {code for of_cause in CODES.values() for code in of_cause} <= known
