"""What `up` and `restart` say that they did, and what `--dry-run` says that they would do."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.node.difference import Change, Part, Plan
from sparkctl.operations.outlook import Outlook
from sparkctl.operations.run import Step, perform
from sparkctl.operations.up import ApiKey, Endpoint, UpReport, report
from sparkctl.output.tryout import curl, curl_lines, next_commands
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


# A shell's function in place of curl, which prints its arguments.
CURL = 'curl() { for each in "$@"; do printf "%s\\0" "$each"; done; }\n'


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 1000])
@pytest.mark.parametrize("model", ["/m/code", 'it\'s $HOME "`x`" \\', "model-" * 20])
def test_the_curl_command_can_be_pasted_at_any_width(width: int, model: str) -> None:
    service = Endpoint("https://spark-1:30000/v1", model, ApiKey("KEY", "env.set"))
    for text in (curl(service), "\n".join(curl_lines(service, width))):
        argv = ["sh", "-c", CURL + text]
        printed = subprocess.check_output(argv, env={"KEY": "k e y"}, text=True)
        *arguments, body, end = printed.split("\0")
        assert arguments == [
            "https://spark-1:30000/v1/chat/completions",
            "-H",
            "Content-Type: application/json",
            "-H",
            "Authorization: Bearer k e y",
            "-d",
        ]
        assert json.loads(body)["model"] == model
        assert end == ""
    lines = curl_lines(service, width)
    if width >= 60 and len(model) < 20:
        assert max(map(len, lines)) <= width
    assert len(lines) == 1 or width < 1000


@pytest.mark.parametrize(
    ("variable", "inventory", "option"),
    [
        (None, "./inventory.yaml", ""),
        ("", "inventory.yaml", ""),
        ("/etc/sparks.yaml", "/etc/sparks.yaml", ""),
        ("./sparks.yaml", "sparks.yaml", ""),
        ("/etc/sparks.yaml", "inventory.yaml", " -i inventory.yaml"),
        ("/etc/sparks.yaml", "./inventory.yaml", " -i inventory.yaml"),
        (None, "my pair.yaml", " -i 'my pair.yaml'"),
    ],
)
def test_a_pasted_command_acts_on_the_inventory_of_the_command_that_named_it(
    variable: str | None, inventory: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARKCTL_INVENTORY", raising=False)
    if variable is not None:
        monkeypatch.setenv("SPARKCTL_INVENTORY", variable)
    names = ("status", "logs -f", "doctor", "down")
    assert next_commands(Path(inventory)) == [f"sparkctl {name}{option}" for name in names]


def test_a_start_ends_with_the_time_and_commands_and_no_change_with_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    services = {name: Endpoint(f"http://{name}:1/v1", name) for name in ("a", "b")}
    done = UpReport("c", services, ("start a",), {"x": 1.0}, several=True, total=75.04)
    path = Path("inventory.yaml")
    print_report(replace(done, changes=()), path, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "no changes: a of a is served at http://a:1/v1",
        "no changes: b of b is served at http://b:1/v1",
    ]
    print_report(replace(done, starting=("b/0/vllm/n",)), path, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "total time: 1 min 15 s" in lines
    assert [line for line in lines if "curl" in line] == [f"  {curl(services['a'])}"]
    print_report(done, path, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["seconds"], document["total_seconds"]) == ({"x": 1.0}, 75.0)
    assert document["services"]["b"] == {
        "url": "http://b:1/v1",
        "model": "b",
        "curl": curl(services["b"]),
    }
