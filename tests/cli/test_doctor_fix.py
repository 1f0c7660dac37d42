"""sparkctl doctor --fix without a cluster: who is asked, what is applied, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import click
import pytest
from click.testing import CliRunner, Result

from sparkctl.cli.doctor import doctor
from sparkctl.cluster.places import APPLIED
from sparkctl.doctor.fix import carry_out, plan
from sparkctl.doctor.runner import choose_checks, evaluate
from sparkctl.doctor.snapshot import View
from sparkctl.errors import ConnectError, RemoteError, SparkctlError
from sparkctl.remote.fanout import GroupResult
from tests.unit.doctorview import healthy

ONE, TWO = "spark-1", "spark-2"
MEND = ("ip", "link", "set", "enp1s0f0np0", "mtu", "9000")


def small_mtu(*names: str) -> View:
    """A pair of which these nodes have a half with a wrong MTU, which --fix mends."""
    view = healthy()
    for name in names:
        view.facts(name)["net"]["enp1s0f0np0"]["mtu"] = 1500
    return view


def left_files() -> View:
    """A pair of which the second node has files of an older run."""
    view = healthy()
    view.facts(TWO)["state"]["exists"] = True
    return view


def gone(view: View, name: str) -> View:
    """The same pair, a node of which can no longer be reached."""
    return View(
        inventory=view.inventory,
        nodes=view.nodes,
        layers=[],
        login=view.login,
        errors={name: ConnectError("no route to host", node=name)},
        all_facts={n: f for n, f in view.all_facts.items() if n != name},
        asked=view.asked,
    )


class Node:
    """A node that keeps what is run there; `broken` fails it."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.broken = False

    def run(self, argv: tuple[str, ...]) -> None:
        self.ran.append(argv)
        if self.broken:
            raise SparkctlError("no permission")


@pytest.fixture
def nodes() -> dict[str, Node]:
    return {ONE: Node(), TWO: Node()}


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, nodes: dict[str, Node]) -> Run:
    """`doctor --fix` on a terminal, on views that are gathered one after the other: first what is
    found, then at the time of the changes, then after them.
    """

    def invoke(*options: str, views: list[View], answer: str = "y\n", terminal: bool = True) -> Any:
        left = list(views)

        def gather(session: Any, *_: Any, **__: Any) -> View:
            view = left.pop(0)
            session.facts, session.pool.errors = dict(view.all_facts), dict(view.errors)
            return view

        def ask(node: Any, target: str, request: Any, **_: Any) -> dict[str, Any]:
            nodes[node.name].run(tuple(request["argv"]) if target == "change.run" else (target,))
            return {}

        def ask_all(asked: Any, target: str, *_: Any, **__: Any) -> GroupResult[Any]:
            assert target.startswith("lease.")
            taken = {"holder": None, "unwritten": None, "shared": False}
            return GroupResult({n.name: taken for n in asked})

        @contextmanager
        def opened(*_: Any, **__: Any) -> Iterator[Any]:
            inventory = views[0].inventory
            pool = SimpleNamespace(connections=nodes, errors={}, changing=list)
            yield SimpleNamespace(
                inventory=inventory, pool=pool, facts={}, unread={}, ask=ask, ask_all=ask_all,
                node=lambda name: next(n for n in inventory.nodes if n.name == name),
            )  # fmt: skip

        monkeypatch.setattr("sparkctl.cli.context.open_session", opened)
        for module in ("collect", "fix"):
            monkeypatch.setattr(f"sparkctl.doctor.{module}.gather", gather)
        monkeypatch.setattr("sparkctl.cli.doctorfix.interactive", lambda: terminal)
        done = CliRunner().invoke(doctor, ["--fix", *options], input=answer, standalone_mode=False)
        assert not left or not nodes[TWO].ran, "the findings are read again after a change"
        return done

    return invoke


def test_no_for_an_answer_prints_the_findings_and_changes_nothing(
    run: Run, nodes: dict[str, Node]
) -> None:
    done = run(views=[small_mtu(TWO)], answer="n\n")
    assert done.return_value == 3
    assert "FAIL    spark-2: fabric.mtu" in done.stdout
    assert nodes[TWO].ran == []
    document = run("--json", views=[small_mtu(TWO)], answer="n\n").stdout
    assert json.loads(document)["counts"]["FAIL"] == 1
    assert run(views=[left_files()], answer="n\n").return_value == 0, "only a warning"


def test_without_a_terminal_the_findings_are_printed_and_yes_is_required(
    run: Run, nodes: dict[str, Node]
) -> None:
    done = run(views=[small_mtu(TWO)], terminal=False)
    assert done.return_value == 2
    assert "FAIL    spark-2: fabric.mtu" in done.stdout
    assert "would: spark-2: " in done.stderr
    assert "stdin is not a terminal" in done.stderr
    assert "--yes" in done.stderr
    assert nodes[TWO].ran == []
    document = json.loads(run("--json", views=[small_mtu(TWO)], terminal=False).stdout)
    assert document["counts"]["FAIL"] == 1
    assert document["error"]["exit_code"] == 2


def test_ctrl_c_at_the_prompt_is_no_answer(run: Run, nodes: dict[str, Node]) -> None:
    done = run(views=[small_mtu(TWO)], answer="")  # click's prompt ends alike at a closed stdin
    assert isinstance(done.exception, click.Abort)
    assert nodes[TWO].ran == []


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_to_fix_is_a_doctor_as_ever(run: Run, terminal: bool) -> None:
    done = run(views=[healthy()], terminal=terminal)
    assert done.return_value == 0
    assert "nothing to fix" in done.stderr
    assert " passed" in done.stdout


def test_what_is_agreed_to_is_done(run: Run, nodes: dict[str, Node]) -> None:
    done = run(views=[small_mtu(TWO), small_mtu(TWO), healthy()])
    assert done.return_value == 0
    assert nodes[TWO].ran == [MEND]
    assert "done: spark-2: set the MTU of enp1s0f0np0" in done.stderr


@pytest.mark.parametrize("after", [3, 1])
def test_a_node_that_vanished_at_the_prompt_fails_and_the_others_are_done(
    run: Run, nodes: dict[str, Node], after: int
) -> None:
    both = small_mtu(ONE, TWO)
    last = gone(both, TWO) if after == 3 else healthy()
    done = run(views=[both, gone(small_mtu(ONE), TWO), last])
    assert done.return_value == after
    assert (nodes[ONE].ran, nodes[TWO].ran) == ([MEND], [])
    assert "done: spark-1: set the MTU" in done.stderr
    assert "FAILED: spark-2: no route to host: spark-2: set the MTU" in done.stderr
    assert "--fix failed at 1 of 2 changes" in done.stderr


def test_every_change_that_fails_is_named(run: Run, nodes: dict[str, Node]) -> None:
    nodes[ONE].broken = nodes[TWO].broken = True
    both = small_mtu(ONE, TWO)
    done = run("--yes", "--json", views=[both, both, gone(both, TWO)], terminal=False)
    assert done.return_value == 3
    assert done.stderr.count("FAILED: no permission: ") == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 3


def test_files_of_a_cluster_that_somebody_started_meanwhile_stay(
    run: Run, nodes: dict[str, Node]
) -> None:
    started = left_files()
    command = {"pid": 9, "role": "ray", "command": "raylet", "cluster": "lab", "run": "new",
               "environment": None, "libraries": {}}  # fmt: skip
    started.facts(TWO)["ours"] = [command]
    started.facts(TWO)["state"]["files"] = {APPLIED: json.dumps({"ray_run": "new"})}
    done = run("--yes", "--check", "host.leftovers", views=[left_files(), started, started])
    assert nodes[TWO].ran == []
    assert "no longer needed: spark-2: remove the files of an older run" in done.stderr
    assert done.return_value == 0


def test_a_change_whose_check_can_no_longer_be_decided_has_failed(
    run: Run, nodes: dict[str, Node]
) -> None:
    unread = small_mtu(TWO)
    del unread.facts(TWO)["net"]
    unread.facts(TWO)["unread"] = {"net": "TimeoutError: it hangs"}
    done = run(views=[small_mtu(TWO), unread, healthy()])
    assert nodes[TWO].ran == []
    assert "FAILED: fabric.mtu can no longer be decided: net could not be read" in done.stderr
    assert done.return_value == 1


def test_a_node_without_the_lease_is_not_changed(nodes: dict[str, Node]) -> None:
    both = small_mtu(ONE, TWO)

    def gather(*_: Any, **__: Any) -> View:
        return both

    session: Any = SimpleNamespace(
        facts=both.all_facts, node=both.node,
        ask=lambda node, _target, request, **_: nodes[node.name].run(tuple(request["argv"])),
    )  # fmt: skip
    agreed = plan(evaluate(both, choose_checks(["fabric.mtu"])))
    shared = RemoteError("the node shares its home directory", node=TWO)
    with mock.patch("sparkctl.doctor.fix.gather", gather):
        done = carry_out(session, both.nodes, agreed, barred={TWO: shared})
    assert [bool(outcome.error) for outcome in done] == [False, True]
    assert (nodes[ONE].ran, nodes[TWO].ran) == ([MEND], [])
