"""Several services of one inventory: their steps name them, and they are waited for at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import ServingError
from sparkctl.events import Doing
from sparkctl.facts.answers import Started
from sparkctl.operations import apply, ready, startup
from sparkctl.operations.outlook import Outlook, plan
from sparkctl.operations.run import perform
from sparkctl.plan.desired import desire
from sparkctl.plan.observed import Seen
from tests.unit.asked import Asked
from tests.unit.asked import run as one_service
from tests.unit.runs import Told
from tests.unit.test_apply import TABLE, answered

if TYPE_CHECKING:
    from sparkctl.node.units import Unit
    from sparkctl.operations.run import Run

LIMIT = 10.0  # seconds
INVENTORY = b"""\
cluster: sparks
nodes:
  - {name: spark-1, host: a}
  - {name: spark-2, host: b}
services:
  chat: {model: /models/m, tensor_parallel_size: 1, nodes: [spark-1]}
  code: {model: /models/m, tensor_parallel_size: 1, nodes: [spark-2]}
"""
CHAT, CODE = "chat/0/vllm/spark-1", "code/0/vllm/spark-2"


def made() -> tuple[Run, Told]:
    """A run that starts both services."""
    inventory = parse(INVENTORY, "x")
    run, session = one_service(waits_until=answered, raytable_table=TABLE)
    assert isinstance(session, Asked)
    session.inventory = inventory
    seen = Seen(inventory, session.facts)
    desired = tuple(desire(view, [], session.facts, {}) for view in inventory.views)
    units = {name: unit for found in desired for name, unit in found.units.items()}
    planned = plan(desired, seen)
    run.outlook = Outlook(desired, seen, planned, observed=seen.observed(units))
    told = run.reporter
    assert isinstance(told, Told)
    return run, told


def test_both_are_waited_for_at_once_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=LIMIT)

    def watch(run: Run, _: Unit, **__: Any) -> None:
        both.wait()
        run.reporter.stage(Doing("loading", 40))

    monkeypatch.setattr(startup, "watch", watch)
    run, told = made()
    perform(run, apply.steps(run), keep=False)
    stages = [said for said in told.said if said.startswith(("chat: ", "code: "))]
    assert [said for said in told.said if said not in stages] == [
        "write the environment",
        "start Ray head of chat; Ray head of code",
        "start vLLM of chat; vLLM of code",
        "wait for Ray head of chat; Ray head of code",
        "wait for Ray head, vLLM of chat; Ray head, vLLM of code",
        "note what runs",
    ]
    for name in ("chat", "code"):
        assert [said for said in stages if said.startswith(name)] == [
            f"{name}: wait for Ray's node table",
            f"{name}: wait for vLLM of {name}",
            f"{name}: loading",
        ]
    assert run.ready >= {CHAT, CODE}


def test_one_of_several_is_waited_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "watch", lambda *_, **__: None)
    run, _ = made()
    run.started = dict.fromkeys(
        run.outlook.of(CODE).units, Started(pid=1, started=1, log="log", offset=0)
    )
    titles = [step.title for step in ready.steps(run)]
    assert titles[1:] == ["wait for Ray's node table", "wait for vLLM of code", "note what runs"]


def test_the_first_failure_ends_the_wait_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, failed, over = threading.Event(), threading.Event(), threading.Event()

    def watch(run: Run, unit: Unit, **_: Any) -> None:
        if unit.id == CODE:
            assert waits.wait(LIMIT)
            raise ServingError("no toys left", node=unit.node)
        waits.set()
        assert failed.wait(LIMIT)
        run.reporter.stage(Doing("still loading"))
        run.reporter.note("still here")
        with pytest.raises(KeyboardInterrupt):
            run.check()
        over.set()

    monkeypatch.setattr(startup, "watch", watch)
    run, told = made()
    with pytest.raises(ServingError, match="no toys left") as caught:
        perform(run, apply.steps(run), keep=False)
    assert caught.value.node == "spark-2"
    said = [*told.said]
    failed.set()
    assert over.wait(LIMIT), "the other goes on"
    assert told.said == said, "nothing is reported after the rollback"
    assert said[-1] == "Rolled back."
    rolled_back = [line for line in said if line.startswith("roll back: stop vLLM")]
    assert len(rolled_back) == 2
    run.check()  # the run itself is not over: a rollback may ask
