"""A node without facts is one finding, and none of its checks counts as passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.doctor.masking import Masking
from sparkctl.doctor.runner import choose_checks, evaluate, undecided
from sparkctl.doctor.table import CHECKS
from sparkctl.doctor.unreached import gathered
from sparkctl.errors import AuthError, RemoteTimeout
from sparkctl.output.doctor import print_findings
from sparkctl.output.report.page import page
from tests.unit.doctorview import examined, healthy
from tests.unit.test_doctor_unknown import three, without

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

ONE, TWO, THREE = "spark-1", "spark-2", "spark-3"
CONTACT = {"reach.ssh", "reach.facts"}
EVERY = {c.id for c in CHECKS}


def unreachable(answers: Answers, *names: str) -> Answers:
    for name in names:
        answers = without(answers, name)
    answers.errors = {name: AuthError("refused every key", node=name) for name in names}
    return answers


def unchecked(finding: Finding) -> set[str]:
    found = finding.data["unchecked"]
    assert isinstance(found, list)
    return {*map(str, found)}


def of(findings: list[Finding], node: str) -> list[Finding]:
    return [f for f in findings if f.node == node]


@pytest.mark.parametrize("lost", [ONE, TWO])
def test_an_unreachable_node_is_one_finding(lost: str) -> None:
    answers = unreachable(healthy(), lost)
    (found,) = of(gathered(examined(answers)), lost)
    assert (found.check, found.severity.value) == ("reach.ssh", "FAIL")
    assert unchecked(found) == EVERY - {"reach.ssh"}
    assert found.summary.endswith(f"; {len(EVERY) - 1} checks could not run")


def test_a_node_whose_facts_could_not_be_read_is_one_finding_besides_its_login() -> None:
    answers = without(healthy(), TWO)
    answers.unreadable = {TWO: RemoteTimeout("no facts within 60 s", node=TWO)}
    login, found = of(gathered(examined(answers)), TWO)
    assert (login.check, login.severity.value) == ("reach.ssh", "OK")
    assert (found.check, found.severity.value) == ("reach.facts", "FAIL")
    assert unchecked(found) == EVERY - CONTACT


def test_two_of_three_nodes_are_two_findings() -> None:
    answers = unreachable(three(), TWO, THREE)
    found = gathered(examined(answers))
    assert [(f.node, f.check) for f in found if f.node in (TWO, THREE)] == [
        (TWO, "reach.ssh"),
        (THREE, "reach.ssh"),
    ]
    assert not [f for f in found if f.code == "no-facts"]


def test_without_the_check_of_its_login_the_first_unknown_stands_for_all() -> None:
    answers = unreachable(healthy(), ONE)
    snapshot, checks = answers.snapshot(), choose_checks(["fabric", "running.ray"])
    (found,) = of(gathered(evaluate(snapshot, checks)), ONE)
    assert (found.check, found.severity.value) == ("fabric.devices", "UNKNOWN")
    assert found.data["unchecked"] == [c.id for c in checks]
    assert found.data["node"] == ONE


def test_every_check_still_counts_for_what_is_undecided() -> None:
    answers = unreachable(healthy(), TWO)
    snapshot, checks = answers.snapshot(), choose_checks(["fabric.ping"])
    findings = evaluate(snapshot, checks)
    assert [*undecided(snapshot, checks, findings)] == [ONE, TWO]
    assert len(gathered(findings)) == 1


def test_what_is_known_and_what_only_a_group_lacks_stays() -> None:
    answers = healthy()
    assert gathered(examined(answers)) == examined(answers)
    del answers.facts[TWO]["ib"]
    assert gathered(examined(answers)) == examined(answers)


def test_it_takes_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    answers = unreachable(three(), TWO)
    print_findings(gathered(examined(answers)), [])
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if TWO in line]) == 1


def test_what_lacks_one_group_is_one_line_and_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    answers = healthy()
    del answers.facts[TWO]["gpu"]
    found = examined(answers)
    checks = "reach.facts, host.gpu, host.driver, host.gpu-clocks"
    print_findings(found, [])
    assert f"UNKNOWN {checks} {TWO}: " in capsys.readouterr().out
    html = page(answers.snapshot(), found, Masking())
    assert html.count('class="UNKNOWN"') == 1
    assert f"<code>{checks}</code>" in html
    print_findings(found, [], verbose=True)
    assert f"UNKNOWN host.driver {TWO}: " in capsys.readouterr().out


def test_a_remedy_of_what_is_unknown_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    answers = healthy()
    persistence = answers.facts[TWO]["persistence"]
    persistence["files"], persistence["unread"] = [], ["/etc/netplan/60-fabric.yaml"]
    print_findings(examined(answers), [])
    assert "sudo grep -rn" in capsys.readouterr().out
