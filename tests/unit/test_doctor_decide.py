"""Which of the causes that a log leaves open the nodes show."""

from __future__ import annotations

from typing import Any

import pytest

from sparkctl.doctor.decide import DECIDING, MEANING, decide, deciding
from sparkctl.doctor.runner import choose_checks, evaluate
from sparkctl.doctor.view import View
from sparkctl.fabric.nccllog import advice
from tests.unit.doctorview import healthy
from tests.unit.nccllogs import NO_DEVICE, ON_SOCKET, USING_NONE, VIA_SOCKET, Files, pair, read

ONE, TWO = "spark-1", "spark-2"
SILENT = pair(NO_DEVICE, USING_NONE, *ON_SOCKET, *VIA_SOCKET)
NO_REASON = pair(*ON_SOCKET, *VIA_SOCKET, version="2.20.5")


def states(view: View, files: Files) -> dict[str, list[tuple[str, str | None]]]:
    """By state, the causes and nodes."""
    verdict = read(files)
    findings = evaluate(view, choose_checks(deciding(verdict)))
    hosts = {view.facts(n)["hostname"]: n for n in view.known}
    told: dict[str, list[tuple[str, str | None]]] = {}
    for decision in decide(verdict, findings, hosts):
        told.setdefault(decision.state, []).append((decision.cause, decision.node))
        assert decision.state == "open" or decision.checks
    return told


def no_uverbs(facts: dict[str, Any]) -> None:
    facts["verbs"]["uverbs"]["rocep1s0f0"]["error"] = "ENOENT"


def no_provider(facts: dict[str, Any]) -> None:
    facts["verbs"]["providers"] = []


def no_device(facts: dict[str, Any]) -> None:
    facts["ib"] = {}


@pytest.mark.parametrize(
    ("break_it", "cause"), [(no_uverbs, "uverbs-missing"), (no_provider, "provider-missing")]
)
def test_the_candidate_that_a_node_shows_is_decided_with_the_node(
    break_it: Any, cause: str
) -> None:
    view = healthy()
    break_it(view.facts(TWO))
    told = states(view, SILENT)
    assert told["found"] == [(cause, TWO)]
    assert {c for c, _ in told["not found"]} == {c.cause for c in advice.NO_DEVICE} - {cause}


def test_what_the_nodes_do_not_show_is_said_and_what_could_not_be_read_is_open() -> None:
    view = healthy()
    assert set(states(view, SILENT)) == {"not found"}
    for name in view.names:
        del view.facts(name)["verbs"]
    told = states(view, SILENT)
    assert {c for c, _ in told["open"]} == {"uverbs-missing", "provider-missing"}
    assert {c for c, _ in told["not found"]} == {"port-down", "no-hardware"}


def test_only_the_nodes_of_the_log_count_when_they_are_known() -> None:
    view = healthy()
    no_uverbs(view.facts(TWO))
    alone = {"rank0.log": SILENT["rank0.log"]}
    assert "found" not in states(view, alone)
    elsewhere = {"rank0.log": SILENT["rank0.log"].replace("spark-1:", "c0ffee:")}
    assert states(view, elsewhere)["found"] == [("uverbs-missing", TWO)]


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("NCCL_NET", "Socket", ["net-forced-socket", "plugin-only"]),
        ("NCCL_NET_PLUGIN", "libmesh.so", ["plugin-only"]),
        ("NCCL_IB_DISABLE", "1", []),  # wrong as well, and not what the log leaves open
    ],
)
def test_a_forced_setting_is_told_from_another(variable: str, value: str, found: list[str]) -> None:
    view = healthy()
    view.facts(ONE)["settings"]["profiles"] = [
        {"path": "/etc/environment", "line": 3, "name": variable, "value": value}
    ]
    assert {"net-forced-socket", "plugin-only"} <= {
        c.cause for f in read(NO_REASON).findings for c in f.candidates
    }
    told = states(view, NO_REASON)
    assert [c for c, _ in told.get("found", [])] == found


def test_every_candidate_that_a_node_can_show_has_its_checks() -> None:
    elsewhere = {"net-forced-by-program", "folded-by-ray"}
    tables = [a.candidates for a in advice.ADVICE.values()]
    tables += [advice.NO_REASON, advice.SKIPPED_IB, advice.SILENT_DISABLE, advice.SILENT_HALF]
    causes = {c.cause for table in tables for c in table} | set(advice.ADVICE)
    assert causes - elsewhere <= set(DECIDING)
    assert set(MEANING) <= set(DECIDING)
    choose_checks([check for checks in DECIDING.values() for check in checks])  # all are there
