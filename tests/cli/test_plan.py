"""plan ends as `up` would where a check or a cluster of another stops it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from sparkctl.cli import context
from sparkctl.cli.plan import plan
from sparkctl.doctor import forecast
from sparkctl.node.difference import Plan
from tests.unit.answers import all_facts
from tests.unit.doctorview import healthy
from tests.unit.test_doctor_collect import ONE, TWO, Asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.unit.doctorview import Answers


def planned(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> tuple[int, dict[str, Any], str]:
    """The exit code of `plan`, its document, and what it prints without --json."""

    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Asked]:
        session = Asked(answers)
        session.facts = all_facts(answers.facts)
        yield session

    monkeypatch.setattr(context, "open_session", opened)
    done, text = (CliRunner().invoke(plan, options) for options in (["--json"], []))
    assert done.exit_code == text.exit_code, done.output + text.output
    return done.exit_code, json.loads(done.stdout), text.output


def of_cluster(identity: str) -> str:
    empty: dict[str, Any] = {"by": {}, "nodes": {}, "units": {}}
    return json.dumps({"schema": 2, "id": identity, "cluster": "lab", **empty})


def foreign(answers: Answers) -> None:
    """The nodes have clusters of two ids."""
    for name, identity in ((ONE, "a"), (TWO, "b")):
        answers.facts[name]["state"]["files"]["applied.json"] = of_cluster(identity)


def test_plan_exits_3_where_a_check_would_stop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    code, document, text = planned(healthy(), monkeypatch)
    assert (code, document["problems"], document["refusals"]) == (0, [], [])
    assert "would stop" not in text

    answers = healthy()
    foreign(answers)
    code, document, text = planned(answers, monkeypatch)
    assert code == document["exit_code"] == 1
    assert [found["code"] for found in document["refusals"]] == ["cluster-name-taken"]
    assert "# would stop up: the nodes have 2 clusters" in text

    answers.facts[TWO]["runtime"]["exists"] = False
    code, document, text = planned(answers, monkeypatch)
    assert code == document["exit_code"] == 3, "a check counts before the rest"
    assert "runtime.present" in {found["check"] for found in document["problems"]}
    assert "# would stop up: " in text


def test_a_failing_check_stops_nothing_where_up_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = healthy()
    answers.facts[TWO]["runtime"]["exists"] = False
    nothing = Plan(())
    monkeypatch.setattr(forecast, "plan", lambda *_, **__: nothing)
    code, document, text = planned(answers, monkeypatch)
    assert (code, document["exit_code"], document["changes"]) == (0, 0, [])
    assert document["problems"]
    assert "# would stop a start, and up has nothing to start: " in text
