"""The other units of a group whose start is watched: where one ends, the rest would wait for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sparkctl.errors import ServingError
from sparkctl.facts.calls import UNTIL
from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from sparkctl.facts.answers import Waited
    from sparkctl.node.units import Unit
    from sparkctl.operations.run import Run

EVERY = 5.0  # seconds between looks, each of which starts a python on the node


class Others:
    """The units that this run has started together with `unit`, and that are to stay."""

    def __init__(self, run: Run, unit: Unit) -> None:
        self._run = run
        self._units = {
            name: other
            for name, other in run.outlook.of(unit.id).units.items()
            if other.group == unit.group and name != unit.id and name in run.started
        }
        self._next = time.monotonic() + EVERY

    def look(self) -> None:
        """Raise ServingError for one that has ended, with the cause that its log shows.

        A node that does not answer has said nothing: its log's follower reports the connection.
        """
        if not self._units or time.monotonic() < self._next:
            return
        answers = each([*self._units.values()], self._ask, key=lambda unit: unit.id)
        self._next = time.monotonic() + EVERY
        for name, answer in answers.ok.items():
            if answer.ended:
                raise self._failure(self._units[name], answer)

    def _ask(self, unit: Unit) -> Waited:
        request = {"unit": unit.id, "run": self._run.id, "listens": None, "ends": True}
        node = self._run.session.node(unit.node)
        return self._run.session.ask(node, UNTIL, request | {"timeout": 0})

    def _failure(self, unit: Unit, answer: Waited) -> ServingError:
        desired = self._run.outlook.of(unit.id)
        progress = desired.engine.progress()
        progress.feed("\n".join([*answer.tail, ""]))
        known = desired.engine.explain(progress, waited=False)
        what = f"{self._run.title(unit)} exited during startup"
        return ServingError(
            f"{what}: {progress.described}" if progress.described else what,
            node=unit.node,
            code="vllm-exited",
            data={"cause": known.code if known else None, "stage": progress.stage_id},
            hint=known.text(desired.inventory.key) if known else None,
            log_tail=[*answer.tail],
        )
