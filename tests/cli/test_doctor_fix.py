"""sparkctl doctor --fix without a cluster: who is asked, what is applied, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from unittest import mock

import click
import pytest
from click.testing import CliRunner, Result

from sparkctl.cli.doctor import doctor
from sparkctl.doctor.fix import carry_out, plan
from sparkctl.doctor.runner import choose_checks, evaluate
from sparkctl.errors import ConnectError, RemoteError, SparkctlError
from sparkctl.facts.calls import READ_JOURNAL, TAKE_BACK, Call
from sparkctl.plan.paths import APPLIED
from sparkctl.remote.fanout import GroupResult
from tests.unit.answers import decoded, process
from tests.unit.doctorview import INVENTORY, Answers, healthy

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot

T = TypeVar("T")
ONE, TWO = "spark-1", "spark-2"
MEND = ("link-mtu", "enp1s0f0np0", 9000)


def small_mtu(*names: str) -> Answers:
    """A pair of which these nodes have a half with a wrong MTU, which --fix mends."""
    answers = healthy()
    for name in names:
        answers.facts[name]["net"]["enp1s0f0np0"]["mtu"] = 1500
    return answers


def left_files() -> Answers:
    """A pair of which the second node has files of an older run."""
    answers = healthy()
    answers.facts[TWO]["state"]["exists"] = True
    return answers


def gone(answers: Answers, name: str) -> Answers:
    """The same pair, with a node that can no longer be reached."""
    facts = {n: f for n, f in answers.facts.items() if n != name}
    errors = {name: ConnectError("no route to host", node=name)}
    return replace(answers, facts=facts, errors=errors, looks={})


class Node:
    """A node that keeps what is run there; `broken` fails it."""

    def __init__(self) -> None:
        self.ran: list[tuple[str | int, ...]] = []
        self.broken = False
        self.unfinished: list[dict[str, Any]] = []  # in root's journal

    def ask(self, target: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to any call; of a change the name and the data are kept."""
        if target == READ_JOURNAL.target:
            assert request["root"]
            return {"entries": self.unfinished, "root": True}
        do = request.get("do")
        self.ran.append((do["name"], *do["data"].values()) if do else (target,))
        if self.broken:
            raise SparkctlError("no permission")
        own = [e for e in self.unfinished if e["owner"] == request.get("owner")]
        return {"stopped": [], "remaining": [], "removed": [], "taken": own, "failed": []}


@pytest.fixture
def nodes() -> dict[str, Node]:
    return {ONE: Node(), TWO: Node()}


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, nodes: dict[str, Node]) -> Run:
    """`doctor --fix` on a terminal, on answers that are collected one after the other: first for
    the findings, then at the time of the changes, then after them.
    """

    def invoke(
        *options: str, found: list[Answers], answer: str = "y\n", terminal: bool = True
    ) -> Any:
        left = list(found)

        def collect(session: Any, *_: Any, **__: Any) -> Snapshot:
            snapshot = left.pop(0).snapshot()
            session.facts, session.pool.errors = dict(snapshot.all_facts), dict(snapshot.errors)
            return snapshot

        def ask(node: Any, call: Call[T], request: Any, **_: Any) -> T:
            return decoded(call, nodes[node.name].ask(call.target, request))

        def ask_all(asked: Any, call: Call[T], *_: Any, **__: Any) -> GroupResult[T]:
            if call == READ_JOURNAL:
                of_root = {n.name: bool(nodes[n.name].unfinished) for n in asked}
                journals = {n: {"entries": [], "root": has} for n, has in of_root.items()}
                return GroupResult({n: decoded(call, value) for n, value in journals.items()})
            assert call.target.startswith("lease.")
            taken = {"holder": None, "unwritten": None, "shared": False, "held": True}
            return GroupResult({n.name: decoded(call, taken) for n in asked})

        @contextmanager
        def opened(*_: Any, **__: Any) -> Iterator[Any]:
            inventory = found[0].inventory
            pool = SimpleNamespace(connections=nodes, errors={}, changing=list)
            by_name = {n.name: n for n in inventory.nodes}
            yield SimpleNamespace(
                inventory=inventory,
                pool=pool,
                facts={},
                unread={},
                ask=ask,
                ask_all=ask_all,
                node=by_name.__getitem__,
            )

        monkeypatch.setattr("sparkctl.cli.context.open_session", opened)
        for module in ("collect", "fix"):
            monkeypatch.setattr(f"sparkctl.doctor.{module}.collect", collect)
        monkeypatch.setattr("sparkctl.cli.doctorfix.interactive", lambda: terminal)
        done = CliRunner().invoke(doctor, ["--fix", *options], input=answer, standalone_mode=False)
        assert not left or not nodes[TWO].ran, "the findings are read again after a change"
        return done

    return invoke


def test_no_for_an_answer_prints_the_findings_and_changes_nothing(
    run: Run, nodes: dict[str, Node]
) -> None:
    done = run(found=[small_mtu(TWO)], answer="n\n")
    assert done.return_value == 3
    assert "FAIL    fabric.mtu spark-2:" in done.stdout
    assert nodes[TWO].ran == []
    document = run("--json", found=[small_mtu(TWO)], answer="n\n").stdout
    assert json.loads(document)["counts"]["FAIL"] == 1
    assert run(found=[left_files()], answer="n\n").return_value == 0, "only a warning"


def test_without_a_terminal_the_findings_are_printed_and_yes_is_required(
    run: Run, nodes: dict[str, Node]
) -> None:
    done = run(found=[small_mtu(TWO)], terminal=False)
    assert done.return_value == 2
    assert "FAIL    fabric.mtu spark-2:" in done.stdout
    assert "would: spark-2: " in done.stderr
    assert "stdin is not a terminal" in done.stderr
    assert "--yes" in done.stderr
    assert nodes[TWO].ran == []
    document = json.loads(run("--json", found=[small_mtu(TWO)], terminal=False).stdout)
    assert document["counts"]["FAIL"] == 1
    assert document["error"]["exit_code"] == 2


def test_ctrl_c_at_the_prompt_is_no_answer(run: Run, nodes: dict[str, Node]) -> None:
    done = run(found=[small_mtu(TWO)], answer="")  # click's prompt ends alike at a closed stdin
    assert isinstance(done.exception, click.Abort)
    assert nodes[TWO].ran == []


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_to_fix_is_a_doctor_as_ever(run: Run, terminal: bool) -> None:
    done = run(found=[healthy()], terminal=terminal)
    assert done.return_value == 0
    assert "nothing to fix" in done.stderr
    assert " passed" in done.stdout


def test_what_is_agreed_to_is_done(run: Run, nodes: dict[str, Node]) -> None:
    done = run(found=[small_mtu(TWO), small_mtu(TWO), healthy()])
    assert done.return_value == 0
    assert nodes[TWO].ran == [MEND]
    assert "done: spark-2: set the MTU of enp1s0f0np0" in done.stderr


@pytest.mark.parametrize("after", [3, 1])
def test_a_node_that_vanished_at_the_prompt_fails_and_the_others_are_done(
    run: Run, nodes: dict[str, Node], after: int
) -> None:
    both = small_mtu(ONE, TWO)
    last = gone(both, TWO) if after == 3 else healthy()
    done = run(found=[both, gone(small_mtu(ONE), TWO), last])
    assert done.return_value == after
    assert (nodes[ONE].ran, nodes[TWO].ran) == ([MEND], [])
    assert "done: spark-1: set the MTU" in done.stderr
    assert "FAILED: spark-2: no route to host: spark-2: set the MTU" in done.stderr
    assert "--fix failed at 1 of 2 changes" in done.stderr


def test_every_change_that_fails_is_named(run: Run, nodes: dict[str, Node]) -> None:
    nodes[ONE].broken = nodes[TWO].broken = True
    both = small_mtu(ONE, TWO)
    done = run("--yes", "--json", found=[both, both, gone(both, TWO)], terminal=False)
    assert done.return_value == 3
    assert done.stderr.count("FAILED: no permission: ") == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 3


def test_files_of_a_cluster_that_somebody_started_meanwhile_stay(
    run: Run, nodes: dict[str, Node]
) -> None:
    started = left_files()
    started.facts[TWO]["ours"] = [process("ray", "raylet", run="new")]
    started.facts[TWO]["state"]["files"] = {APPLIED: json.dumps({"ray_run": "new"})}
    done = run("--yes", "--check", "host.leftovers", found=[left_files(), started, started])
    assert nodes[TWO].ran == []
    assert "no longer needed: spark-2: remove the files of an older run" in done.stderr
    assert done.return_value == 0


def test_a_change_whose_check_can_no_longer_be_decided_has_failed(
    run: Run, nodes: dict[str, Node]
) -> None:
    unread = small_mtu(TWO)
    del unread.facts[TWO]["net"]
    unread.facts[TWO]["unread"] = {"net": {"reason": "it hangs", "kind": "timeout"}}
    done = run(found=[small_mtu(TWO), unread, healthy()])
    assert nodes[TWO].ran == []
    assert (
        "FAILED: fabric.mtu cannot be decided any more: the network interfaces could not be read"
        in done.stderr
    )
    assert done.return_value == 1


def test_a_change_that_waits_for_another_finding_is_not_made(
    run: Run, nodes: dict[str, Node]
) -> None:
    waits = replace(small_mtu(TWO), inventory=healthy(INVENTORY + "fabric: {cage: 1}\n").inventory)
    done = run("--yes", found=[waits])
    assert "nothing to fix" in done.stderr
    assert "fix fabric.choice on spark-2 first" in done.stdout
    done = run("--yes", found=[small_mtu(TWO), waits, waits])
    assert (
        "FAILED: fabric.mtu cannot be fixed yet: fix fabric.choice on spark-2 first" in done.stderr
    )
    done = run("--yes", "--check", "fabric.mtu", found=[waits])
    assert "nothing to fix" in done.stderr
    assert nodes[TWO].ran == []
    run("--yes", "--skip", "fabric.choice", found=[waits, waits, healthy()])
    assert nodes[TWO].ran == [MEND], "who skips a check does not wait for it"


OLD = {"id": "a", "undo": "link-mtu", "title": "set it", "when": "2026-01-01", "done": False}


def test_what_an_earlier_fix_did_not_complete_is_taken_back_first(
    run: Run, nodes: dict[str, Node]
) -> None:
    nodes[TWO].unfinished = [
        {**OLD, "owner": "lab/mtu-1500"},
        {**OLD, "owner": "fix", "done": True},
    ]
    assert "nothing to fix" in run(found=[healthy()]).stderr
    nodes[TWO].unfinished.append({**OLD, "owner": "fix"})
    line = f"take back {TWO}: set it (begun 2026-01-01, not completed)"
    assert f"would: {line}" in run(found=[healthy()], answer="n\n").stderr
    assert nodes[TWO].ran == []
    done = run(found=[small_mtu(TWO), small_mtu(TWO), healthy()])
    assert f"done: {line}" in done.stderr
    assert nodes[TWO].ran == [(TAKE_BACK.target,), MEND]
    nodes[TWO].broken = True
    done = run("--yes", found=[healthy(), healthy()])
    assert f"FAILED: no permission: {line}" in done.stderr
    assert done.return_value == 1


def test_a_node_without_the_lease_is_not_changed(nodes: dict[str, Node]) -> None:
    answers = small_mtu(ONE, TWO)
    both = answers.snapshot()

    def collect(*_: Any, **__: Any) -> Snapshot:
        return both

    def ask(node: Any, _: Any, request: Any, **__: Any) -> None:
        nodes[node.name].ask("", request)

    session: Any = SimpleNamespace(facts=both.all_facts, node=both.node, ask=ask)
    agreed = plan(evaluate(both, choose_checks(["fabric.mtu"])))
    shared = RemoteError("the node shares its home directory", node=TWO)
    with mock.patch("sparkctl.doctor.fix.collect", collect):
        done = carry_out(session, both.nodes, agreed, barred={TWO: shared})
    assert [bool(outcome.error) for outcome in done] == [False, True]
    assert (nodes[ONE].ran, nodes[TWO].ran) == ([MEND], [])
