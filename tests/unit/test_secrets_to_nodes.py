"""What a node gets: the real text on stdin, and a log's header in which it is masked."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sparkctl.plan.diff import compare

from sparkctl.engines.inventory import parse
from sparkctl.node import launch
from sparkctl.operations import steps
from sparkctl.operations.run import Run
from sparkctl.operations.status import status
from sparkctl.plan.desired import make_wish
from sparkctl.remote.fanout import each
from tests.unit.answers import all_facts, decoded, node_facts, process
from tests.unit.doctorview import captured
from tests.unit.test_cluster import facts
from tests.unit.test_doctor_collect import Asked as Reached
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node

PW = "Pw-Of-Theirs"
ARGUMENTS = f"  arguments: {{api-key: {PW}1, otlp-traces-endpoint: 'http://bob:{PW}2@h'}}\n"


ANSWERS = {
    "launch.run": {"status": 0, "tail": []},
    "launch.start": {"pid": 7, "started": 1, "log": "vllm.log", "offset": 0},
    "files.read": {"applied.json": None, "ray-token": "t"},
}


class Asked:
    """A session that remembers each request as it would travel."""

    def __init__(self) -> None:
        self.inventory = parse((GOOD + ARGUMENTS).encode(), "x")
        known = {n.name: facts(i) for i, n in enumerate(self.inventory.nodes, 1)}
        for found in known.values():
            found["state"]["exists"] = True
        self.facts = all_facts(known)
        self.requests: dict[tuple[str, str], dict[str, Any]] = {}

    def node(self, name: str) -> Node:
        return next(n for n in self.inventory.nodes if n.name == name)

    def ask(self, node: Node, call: Call[Any], request: dict[str, Any], **_: Any) -> Any:
        self.requests[node.name, call.target] = json.loads(json.dumps(request))
        return decoded(call, ANSWERS.get(call.target, {"changed": []}))

    def ask_all(self, nodes: Any, call: Call[Any], request: Any, **_: Any) -> Any:
        return each(list(nodes), lambda n: self.ask(n, call, request(n)), key=lambda n: n.name)


def run() -> tuple[Run, Asked]:
    session: Any = Asked()
    wish = make_wish(session.inventory, [], session.facts)
    reporter: Any = SimpleNamespace()
    return Run(session, wish, compare(wish, session.facts), reporter), session


def test_the_environment_file_holds_the_real_key() -> None:
    made, session = run()
    steps.write_files(made)
    written = session.requests["spark-1", "files.write"]["files"]["environment.json"]
    assert json.loads(written)["variables"]["VLLM_API_KEY"] == f"{PW}1"
    assert f"{PW}1" not in session.requests["spark-2", "files.write"]["files"]["environment.json"]


def test_vllm_gets_its_argv_and_the_header_none_of_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, session = run()
    monkeypatch.setattr(steps, "watch_start", lambda *_, **__: None)
    steps.start_vllm(made)
    request = session.requests["spark-1", "launch.start"]
    assert request["argv"][-1] == f"http://bob:{PW}2@h"
    assert "http://****@h" in request["shown"]
    assert PW not in request["shown"]
    assert f"{PW}1" not in json.dumps(request)


@pytest.mark.parametrize("shown", ["sh -c ****", None])
def test_the_logs_header_is_what_may_be_shown(
    shown: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    argv = ["/bin/sh", "-c", f": {PW}"]
    request: Any = {"cluster": "c", "argv": argv, "env": {}, "unit": "x", "run": "r", "timeout": 10}
    answer = launch.run(request if shown is None else request | {"shown": shown})
    assert answer["status"] == 0
    header = next((tmp_path / ".sparkctl/c").rglob("x.log")).read_text()
    assert header.startswith("== sparkctl ")
    assert header.endswith(f": {shown or '/bin/sh'}\n")


def test_status_shows_a_command_line_without_its_secrets() -> None:
    session = Reached()
    command = f"python vllm serve m --api-key {PW} --otlp http://bob:{PW}@h --port 1"
    answer = captured()["facts"]["spark-1"]
    session.facts["spark-1"] = node_facts({**answer, "ours": [process("vllm", command)]})
    (shown,) = status(session).nodes[0].processes
    assert shown.command == ("python vllm serve m --api-key **** --otlp http://****@h --port 1")
