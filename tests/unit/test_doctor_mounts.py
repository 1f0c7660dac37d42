"""The check of what runtime.mounts names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.doctor.preflight import preflight
from tests.unit.boxview import boxed
from tests.unit.doctorview import examined
from tests.unit.test_doctor_collect import Asked

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

ONE, TWO = "spark-1", "spark-2"
CHECK = "container.mounts"


def mounted(problem: str, *, rootless: bool = False) -> Answers:
    """A path that the second node lacks for this reason."""
    answers = boxed()
    answers.facts[TWO]["containers"]["engines"]["docker"]["rootless"] = rootless
    answers.facts[TWO]["containers"]["mounts"] = {"/data/w": problem, "~/x": ""}
    return answers


@pytest.mark.parametrize(
    ("problem", "rootless", "found"),
    [
        ("", True, ("OK", "ok")),
        ("absent", False, ("FAIL", "mount-missing")),
        ("denied", True, ("FAIL", "mount-denied")),
        ("denied", False, ("UNKNOWN", "mount-unread")),  # docker's daemon may see it
        ("failed", True, ("UNKNOWN", "mount-unread")),
    ],
)
def test_what_is_mounted_is_on_each_node(
    problem: str, rootless: bool, found: tuple[str, str]
) -> None:
    findings = examined(mounted(problem, rootless=rootless), CHECK)
    assert {f.node: (f.severity.value, f.code) for f in findings} == {ONE: ("OK", "ok"), TWO: found}
    for finding in (f for f in findings if f.severity.value == "FAIL"):
        assert "/data/w" in str(finding)
        assert finding.fix
        assert "/data/w" in finding.fix.text


def test_a_missing_path_refuses_a_start_and_is_why_no_container_starts() -> None:
    answers = mounted("absent")
    answers.looks["inside"][TWO] = {"problem": "failed", "reason": "no such path", "inside": None}
    assert CHECK in {f.check for f in preflight(Asked(answers), passive=True)}
    fixes = {f.check: f.fix for f in examined(answers, CHECK, "container.gpu") if f.fix}
    assert f"{TWO}, or remove it from runtime.mounts" in fixes[CHECK].text
    assert [prior.check for prior in fixes["container.gpu"].after] == [CHECK]
