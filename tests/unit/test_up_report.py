"""What `up` and `restart` say that they did, and what `--dry-run` says that they would do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.node.difference import Change, Part, Plan
from sparkctl.operations.outlook import Outlook
from sparkctl.operations.run import Step, perform
from sparkctl.operations.up import report
from sparkctl.output.up import print_outlook, print_report
from sparkctl.plan.desired import desire
from sparkctl.plan.observed import Seen
from tests.unit.answers import all_facts
from tests.unit.clusterpair import SERVE, nodes
from tests.unit.runs import make
from tests.unit.test_inventory_services import PAIRS

INVENTORY = parse(PAIRS.encode(), "x")


def outlook(*changes: Change, ends: tuple[str, ...] = (), waits: tuple[str, ...] = ()) -> Outlook:
    """Of both services, with these changes."""
    found = all_facts(nodes(INVENTORY))
    desired = tuple(desire(view, [], found) for view in INVENTORY.views)
    parts = (Part("vllm/0", changes, ()),) if changes else ()
    return Outlook(
        desired, Seen(INVENTORY, found), Plan(parts), ends=ends, served=ends, waits=waits
    )


def change(action: str) -> Change:
    return Change(SERVE, "spark-1", "vllm", "vLLM", action, "restart requested")


def test_a_restart_says_nothing_of_services_that_it_did_not_look_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    session = type("Session", (), {"inventory": INVENTORY})()
    run, _ = make(session, outlook(change("restart")))
    both = [view.service for view in INVENTORY.views]
    assert [*report(run, detach=False).services] == both
    only = report(run, detach=False, restart=both[1:])
    assert [*only.services] == both[1:]
    print_report(only, Path("inventory.yaml"), as_json=False)
    assert "/m/code of code is served at " in capsys.readouterr().out
    print_report(only, Path("inventory.yaml"), as_json=True)
    assert "several" not in json.loads(capsys.readouterr().out)


def test_the_seconds_of_two_steps_with_one_title_are_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter((0.0, 2.0, 5.0, 8.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    run, _ = make()
    perform(run, [Step("wait for vLLM", lambda _: None)] * 2, keep=False)
    assert run.seconds == {"wait for vLLM": 5.0}


@pytest.mark.parametrize(
    ("action", "line"),
    [("stop", "would stop m, which is served"), ("restart", "would stop and restart m, which")],
)
def test_a_model_that_only_ends_is_not_said_to_be_restarted(
    action: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_outlook(outlook(change(action), ends=("m",)), as_json=False)
    assert line in capsys.readouterr().out


def test_a_start_that_is_under_way_is_not_no_changes(capsys: pytest.CaptureFixture[str]) -> None:
    print_outlook(outlook(waits=(SERVE,)), as_json=False)
    assert capsys.readouterr().out == f"would wait for {SERVE}, which is starting\n"
    print_outlook(outlook(), as_json=False)
    assert capsys.readouterr().out == "no changes\n"
