"""Which container engine is meant, and what is wrong with it, where nodes have several."""

from __future__ import annotations

import pytest

from sparkctl.doctor import boxes
from sparkctl.facts.unread import Missing
from tests.unit.answers import engine
from tests.unit.boxview import BOXED, REFERENCE, boxed
from tests.unit.doctorview import examined

ONE, TWO = "spark-1", "spark-2"
DENIED = engine(problem="denied", reason="why", image=None)


def test_one_engine_has_to_work_on_all_nodes() -> None:
    answers = boxed()
    found = answers.facts[TWO]["containers"]["engines"]
    found |= {"docker": engine(problem="absent", reason="no"), "podman": engine()}
    codes = {f.node: f.code for f in examined(answers, "container.engine")}
    assert codes == {ONE: "engines-differ", TWO: "engines-differ"}


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("nodes", [(TWO,), (ONE, TWO)])
@pytest.mark.parametrize(
    ("problem", "cure"), [("denied", "usermod -aG docker root"), ("stopped", "start docker")]
)
def test_an_engine_without_the_image_does_not_hide_dockers_trouble(
    problem: str, cure: str, nodes: tuple[str, ...], *, asked: bool
) -> None:
    """podman is asked where docker is in trouble, or has no image (`asked`)."""
    answers = boxed()
    broken = engine(problem=problem, reason="why", image=None)
    for name in (ONE, TWO):
        engines = answers.facts[name]["containers"]["engines"]
        del engines["podman"]
        engines["docker"].update({"image": None} if asked else {})
        if asked or name in nodes:
            engines["podman"] = engine(image=None)
        if name in nodes:
            engines["docker"] = broken
    found = {f.node: f for f in examined(answers, "container.engine")}
    assert {n for n, f in found.items() if f.code == "engine-unusable"} == {*nodes}
    fix = found[TWO].fix
    assert fix
    assert any(cure in line for line in fix.to_paste)
    assert ("runtime.tool: podman" in fix.text) is (asked or len(nodes) == 2)
    pasted = [f.fix.to_paste for f in examined(answers, "container.image") if f.fix]
    assert "podman pull" not in str(pasted)


def test_no_remedy_is_for_an_engine_that_nobody_uses() -> None:
    answers = boxed()
    docker_image = answers.facts[ONE]["containers"]["engines"]["docker"]["image"]
    for name in (ONE, TWO):
        podman = engine(image=docker_image if name == ONE else None)
        answers.facts[name]["containers"]["engines"] |= {"docker": DENIED, "podman": podman}
    wrong = [f for f in examined(answers, "container.engine", "container.image") if f.code != "ok"]
    assert [(f.node, f.code) for f in wrong] == [(TWO, "no-image")]
    answers = boxed()  # where docker is used elsewhere, podman's failure is of no concern
    bad = {"docker": engine(problem="absent"), "podman": engine(problem="failed", reason="x")}
    answers.facts[TWO]["containers"]["engines"] |= bad
    (found,) = [f for f in examined(answers, "container.engine") if f.code != "ok"]
    assert "docker is not installed" in found.summary


def test_a_node_is_judged_by_the_engine_that_the_inventory_names() -> None:
    for tool in ("docker", "auto"):
        answers = boxed(BOXED.replace(f"'{REFERENCE}'", f"'{REFERENCE}', tool: {tool}"))
        answers.facts[TWO]["containers"]["engines"]["docker"] = DENIED
        codes = {f.node: f.code for f in examined(answers, "container.image")}
        assert codes == {ONE: "ok", TWO: "unread"}


@pytest.mark.parametrize(
    ("lacks", "check", "code"),
    [
        ("architecture", "container.image", "other-architecture"),
        ("python3", "runtime.present", "no-python"),
    ],
)
def test_an_image_in_which_nothing_runs_is_not_looked_into(
    lacks: str, check: str, code: str
) -> None:
    answers = boxed()
    facts = answers.facts[TWO]
    if lacks == "architecture":
        facts["containers"]["engines"]["docker"]["image"]["architecture"] = "arm64"
    else:
        facts["runtime"]["python"] = None
    wrong = [f for f in examined(answers, check) if f.severity.value == "FAIL"]
    assert [(f.node, f.code) for f in wrong] == [(TWO, code)]
    with pytest.raises(Missing, match=f"see {check}"):
        boxes.words(answers.snapshot(), TWO, "x")
