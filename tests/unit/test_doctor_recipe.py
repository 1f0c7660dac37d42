"""The recipe in the doctor's findings, and a model whose path differs between nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.doctorview import INVENTORY, examined, healthy, wrong

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

ONE, TWO = "spark-1", "spark-2"
HUB = INVENTORY.replace("/models/m2", "MiniMaxAI/MiniMax-M2")
HOME = INVENTORY.replace("/models/m2", "~/m2")


def codes(answers: Answers, check: str = "model.recipe") -> list[tuple[str | None, str, str]]:
    """The node, severity and code of a check's findings."""
    found: list[Finding] = examined(answers, check)
    return [(f.node, f.severity.value, f.code) for f in found]


def config(answers: Answers, name: str, **values: Any) -> None:
    answers.facts[name]["model_config"].update(values)


def on_the_hub(text: str = HUB) -> Answers:
    answers = healthy(text)
    for facts in answers.facts.values():
        facts["model"] = {"is_path": False}
    return answers


def test_the_recipe_and_why() -> None:
    assert codes(healthy()) == [(ONE, "OK", "ok")]
    (finding,) = examined(healthy(), "model.recipe")
    assert finding.data == {"recipe": "minimax-m2"}
    assert "MiniMaxM2ForCausalLM" in finding.summary  # what it was chosen by


def test_a_model_that_is_not_on_the_node_is_worth_knowing() -> None:
    answers = on_the_hub()
    why = "MiniMaxAI/MiniMax-M2 is not in the hub cache /root/.cache/huggingface/hub"
    for name in (ONE, TWO):
        config(answers, name, architectures=None, error=why, path=None)
    assert codes(answers) == [(ONE, "INFO", "no-recipe")]
    (finding,) = examined(answers, "model.recipe")
    assert why in finding.summary  # the node's own reason
    assert wrong(answers) == set()


def test_another_architecture_in_another_nodes_cache() -> None:
    answers = on_the_hub()
    config(answers, TWO, architectures=["MiniMaxM3ForCausalLM"])
    assert codes(answers) == [(ONE, "OK", "ok"), (TWO, "WARN", "other-architecture")]
    config(answers, TWO, architectures=None)  # vLLM fetches it there
    assert codes(answers) == [(ONE, "OK", "ok")]


def test_a_directory_is_compared_once() -> None:
    answers = healthy()
    config(answers, TWO, architectures=["MiniMaxM3ForCausalLM"])
    answers.facts[TWO]["model"]["digest"] = "other"
    assert wrong(answers) == {("model.same", TWO, "WARN")}


def test_what_was_not_read_on_the_head_is_unknown_and_the_other_rules_hold() -> None:
    answers = healthy()
    del answers.facts[ONE]["model_config"]
    reason = {"reason": "no answer within 6 s", "kind": "timeout"}
    answers.facts[ONE]["unread"] = {"model_config": reason}
    assert ("model.recipe", None, "UNKNOWN") in wrong(answers)
    assert [f[1] for f in codes(answers, "settings.recipe")] == ["OK", "OK"]
    (finding,) = examined(answers, "model.recipe")
    assert finding.data == {"what": "model_config", "kind": "timeout"}


def test_every_rank_opens_the_heads_path() -> None:
    answers = healthy(HOME)
    for name, home in ((ONE, "/home/a"), (TWO, "/home/b")):
        answers.facts[name]["model"]["path"] = f"{home}/m2"
    failure = ("model.present", TWO, "FAIL")
    assert wrong(answers) == {failure}
    (finding,) = [f for f in examined(answers, "model.present") if f.node == TWO]
    assert finding.code == "other-path"
    assert finding.data == {"expected": "/home/a/m2", "got": "/home/b/m2"}
    answers.facts[TWO]["model"]["path"] = "/home/a/m2"
    assert wrong(answers) == set()
