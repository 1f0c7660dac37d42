"""A run whose nodes answer as a test says, and what they were asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.engines.inventory import parse
from sparkctl.operations.outlook import Outlook
from sparkctl.operations.run import Run
from sparkctl.operations.session import Session
from sparkctl.plan.observed import Seen
from tests.unit.answers import all_facts, decoded
from tests.unit.clusterpair import desired, nodes, plan, running
from tests.unit.runs import Told, pool
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node

PW = "Pw-Of-Theirs"  # in the arguments
ARGUMENTS = f"  arguments: {{api-key: {PW}1, otlp-traces-endpoint: 'http://bob:{PW}2@h'}}\n"
CLUSTER = parse((GOOD + ARGUMENTS).encode(), "x")

ANSWERS: dict[str, Any] = {
    "launch.start": {"pid": 7, "started": 1, "log": "vllm.log", "offset": 0},
    "waits.until": {"listens": True, "ended": False, "status": None, "tail": []},
    "files.read": {"ray-token": "kept-token"},
    "prepare.prepare": {"changed": []},
    "state.join": {"other": None},
    "stop.stop": {"stopped": [], "remaining": []},
    "settle.recover": {"taken": [], "failed": []},
    "settle.settle": {"changed": []},
    "stop.remove": {"removed": []},
}


class Asked(Session):
    """A session that remembers each request as it would travel; an answer may be a function of the
    node and the request, or an error.
    """

    def __init__(self, known: dict[str, Any], answers: dict[str, Any] | None = None) -> None:
        link: Any = pool()
        super().__init__(CLUSTER, Path(), link, facts=all_facts(known))
        self.answers = {**ANSWERS, **(answers or {})}
        self.requests: dict[tuple[str, str], dict[str, Any]] = {}
        self.order: list[tuple[str, str]] = []

    # It takes the options that the real one has and needs none; no connection is looked at.
    def ask(self, node: Node, call: Call[Any], request: dict[str, Any], **_: Any) -> Any:
        sent = json.loads(json.dumps(request))
        self.requests[node.name, call.target] = sent
        self.order.append((node.name, call.target))
        answer = self.answers[call.target]
        answer = answer(node.name, sent) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return decoded(call, answer, node.name)

    def files(self, node: str) -> dict[str, str]:
        """What was written to the node."""
        found: dict[str, str] = self.requests[node, "prepare.prepare"]["files"]
        return found


def run(
    known: dict[str, Any] | None = None, waits: tuple[str, ...] = (), **answers: Any
) -> tuple[Run, Asked]:
    """A run on these nodes, none of which has anything without `known`; answers by call, with _ for
    its dot.
    """
    known = known if known is not None else nodes(CLUSTER)
    session = Asked(known, {name.replace("_", ".", 1): a for name, a in answers.items()})
    made = desired(CLUSTER, known)
    seen = Seen(CLUSTER, session.facts)
    found = Outlook(
        (made,), seen, plan(CLUSTER, known), waits=waits, observed=seen.observed(made.units)
    )
    return Run(session, found, Told(), cluster_id="id-1"), session


def live() -> dict[str, Any]:
    """Nodes where all of it runs."""
    return running(desired(CLUSTER), nodes(CLUSTER))
