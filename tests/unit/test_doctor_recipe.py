"""The recipe as the doctor tells it, and a model whose path is not the same on every node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.doctorview import INVENTORY, examined, healthy, wrong

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import View

ONE, TWO = "spark-1", "spark-2"
HUB = INVENTORY.replace("/models/m2", "MiniMaxAI/MiniMax-M2")
HOME = INVENTORY.replace("/models/m2", "~/m2")


def said(view: View, check: str = "model.recipe") -> list[tuple[str | None, str, str]]:
    found: list[Finding] = examined(view, check)
    return [(f.node, f.severity.value, f.summary) for f in found]


def config(view: View, name: str, **values: Any) -> None:
    view.all_facts[name]["model_config"].update(values)


def on_the_hub(text: str = HUB) -> View:
    view = healthy(text)
    for facts in view.all_facts.values():
        facts["model"] = {"is_path": False}
    return view


def test_the_recipe_and_why() -> None:
    (found,) = said(healthy())
    assert found == (
        ONE, "OK", "recipe minimax-m2: /models/m2/config.json names MiniMaxM2ForCausalLM",
    )  # fmt: skip


def test_a_model_that_is_not_on_the_node_is_worth_knowing() -> None:
    view = on_the_hub()
    why = "MiniMaxAI/MiniMax-M2 is not in the hub cache /root/.cache/huggingface/hub"
    for name in (ONE, TWO):
        config(view, name, architectures=None, error=why, path=None)
    (found,) = said(view)
    assert found == (ONE, "INFO", f"no recipe: {why}; set vllm.recipe (minimax-m2 or none)")
    assert wrong(view) == set()


def test_another_architecture_in_another_nodes_cache() -> None:
    view = on_the_hub()
    config(view, TWO, architectures=["MiniMaxM3ForCausalLM"])
    assert [f[:2] for f in said(view)] == [(ONE, "OK"), (TWO, "WARN")]
    config(view, TWO, architectures=None)  # vLLM fetches it there
    assert [f[:2] for f in said(view)] == [(ONE, "OK")]


def test_a_directory_is_compared_once() -> None:
    view = healthy()
    config(view, TWO, architectures=["MiniMaxM3ForCausalLM"])
    view.all_facts[TWO]["model"]["digest"] = "other"
    assert wrong(view) == {("model.same", TWO, "WARN")}


def test_what_was_not_read_on_the_head_is_unknown_and_the_other_rules_hold() -> None:
    view = healthy()
    del view.all_facts[ONE]["model_config"]
    view.all_facts[ONE]["unread"] = {"model_config": "TimeoutError: no answer within 6 s"}
    assert ("model.recipe", None, "UNKNOWN") in wrong(view)
    assert [f[1] for f in said(view, "settings.recipe")] == ["OK", "OK"]
    assert "no answer within 6 s" in said(view)[0][2]


def test_every_rank_opens_the_heads_path() -> None:
    view = healthy(HOME)
    for name, home in ((ONE, "/home/a"), (TWO, "/home/b")):
        view.all_facts[name]["model"]["path"] = f"{home}/m2"
    failure = ("model.present", TWO, "FAIL")
    assert wrong(view) == {failure}
    assert (TWO, "FAIL", "vLLM opens /home/a/m2, spark-1's ~/m2; here it is /home/b/m2") in said(
        view, "model.present"
    )
    view.all_facts[TWO]["model"]["path"] = "/home/a/m2"
    assert wrong(view) == set()
