"""sparkctl doctor without a cluster."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from sparkctl.cli.doctor import doctor
from sparkctl.cli.up import up
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import ConnectError, UsageError
from sparkctl.operations.up import Endpoint, UpReport
from tests.cli.test_cli import ROOT, sparkctl
from tests.unit.answers import process
from tests.unit.doctorview import healthy
from tests.unit.nccllogs import REAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.doctorview import Answers


def test_the_checks_are_listed_and_explained() -> None:
    listed = sparkctl("doctor", "--list-checks").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["CHECK", *(c.id for c in CHECKS)]
    names = sparkctl("doctor", "--list-checks", "-o", "name").stdout
    assert names.split() == [c.id for c in CHECKS]
    documents = json.loads(sparkctl("doctor", "--list-checks", "--json").stdout)
    assert {"check", "scope", "preflight", "what", "why", "how", "remedy", "source"} == {
        *documents[0]
    }
    explained = sparkctl("doctor", "--explain", "fabric.hca").stdout
    assert explained.startswith("fabric.hca\n  what    NCCL_IB_HCA")
    only = sparkctl("doctor", "--list-checks", "--check", "host", "-o", "name").stdout
    assert only.startswith("host.")
    assert "-o name requires --list-checks" in sparkctl("doctor", "-o", "name").stderr


@pytest.mark.parametrize("options", [("--check", "x.y"), ("--skip", "x.y"), ("--explain", "x.y")])
def test_an_unknown_check_is_an_error_before_any_node_is_reached(options: tuple[str, ...]) -> None:
    done = sparkctl("doctor", *options, "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["data"]) == ("unknown-check", {"check": "x.y"})
    assert sparkctl("up", "--ignore-check", "x.y").returncode == 2


@pytest.mark.parametrize("options", [(), ("--list-checks",), ("--explain", "fabric.hca")])
def test_to_look_at_nothing_is_refused_as_usage(options: tuple[str, ...]) -> None:
    done = sparkctl("doctor", "--check", "fabric.hca", "--skip", "fabric", *options, "--json")
    assert done.returncode == 2
    assert "--skip leaves no check" in json.loads(done.stdout)["error"]["message"]
    assert sparkctl("doctor", "--list-checks", "--skip", "fabric").returncode == 0


def test_a_missing_inventory_is_usage(tmp_path: Path) -> None:
    done = sparkctl("doctor", cwd=tmp_path)
    assert done.returncode == 2
    assert "inventory" in done.stderr


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """The captured pair in place of nodes; the MTU of the second node's first half differs."""
    captured = healthy()
    captured.facts["spark-2"]["net"]["enp1s0f0np0"]["mtu"] = 1500

    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Any]:
        yield SimpleNamespace(inventory=captured.inventory)

    monkeypatch.setattr("sparkctl.cli.context.open_session", opened)
    for module in ("sparkctl.doctor.collect", "sparkctl.doctor.preflight"):
        monkeypatch.setattr(f"{module}.collect", lambda *_, **__: captured.snapshot())
    return captured


FINDING = {"check", "code", "scope", "node", "severity", "summary", "data", "evidence", "fix"}
EVIDENCE = {"expected", "got", "where", "wanted", "found"}  # the last two are the names of 0.1


def check_finding(found: dict[str, Any]) -> None:
    """The exact keys of a finding, which scripts rely on."""
    assert set(found) == FINDING
    for evidence in found["evidence"]:
        assert set(evidence) == EVIDENCE
    if found["fix"]:
        assert set(found["fix"]) == {"text", "commands", "after"}


@pytest.mark.usefixtures("answers")
def test_the_json_has_exactly_these_keys() -> None:
    done = CliRunner().invoke(doctor, ["--json"])
    document = json.loads(done.stdout)
    assert set(document) == {"cluster", "findings", "counts", "undecided", "imitated"}
    assert document["cluster"] == "lab"
    assert list(document["counts"]) == ["CRASH", "FAIL", "WARN", "UNKNOWN", "INFO", "OK"]
    assert sum(document["counts"].values()) == len(document["findings"])
    for found in document["findings"]:
        check_finding(found)
    (failed,) = [f for f in document["findings"] if f["severity"] == "FAIL"]
    assert done.exit_code == 3
    where = {k: failed[k] for k in ("check", "code", "scope", "node")}
    assert where == {
        "check": "fabric.mtu",
        "code": "mtu-mismatch",
        "scope": "node",
        "node": "spark-2",
    }
    assert failed["fix"]["commands"] == ["ip link set enp1s0f0np0 mtu 9000"], "as root"


def test_a_node_that_is_not_reached_is_one_finding_and_undecided(answers: Answers) -> None:
    del answers.facts["spark-2"]
    answers.errors = {"spark-2": ConnectError("no route", node="spark-2")}
    done = CliRunner().invoke(doctor, ["--json"])
    document = json.loads(done.stdout)
    (found,) = [f for f in document["findings"] if f["node"] == "spark-2"]
    assert found["check"] == "reach.ssh"
    assert len(found["data"]["unchecked"]) == len(CHECKS) - 1
    assert document["undecided"] == ["spark-2"]
    assert sum(document["counts"].values()) == len(document["findings"])
    assert done.exit_code == 3


@pytest.mark.parametrize(
    ("options", "variable", "given"),
    [
        ([], "", ""),
        (["-i", "a b.yaml"], "", " -i 'a b.yaml'"),
        ([], "e.yaml", " -i e.yaml"),
        (["-i", "inventory.yaml"], "e.yaml", " -i inventory.yaml"),
    ],
)
def test_commands_of_sparkctl_have_the_inventory_that_the_user_named(
    answers: Answers, options: list[str], variable: str, given: str
) -> None:
    answers.facts["spark-2"]["ours"] = [process("vllm", "python", run="old")]
    chosen = ["--json", "--check", "host.leftovers", *options]
    done = CliRunner().invoke(doctor, chosen, env={"SPARKCTL_INVENTORY": variable or None})
    findings = json.loads(done.stdout)["findings"]
    commands = [c for f in findings if f["fix"] for c in f["fix"]["commands"]]
    assert commands == [f"sparkctl doctor --fix --check host.leftovers{given}"]


@pytest.mark.usefixtures("answers")
def test_the_json_of_a_log_has_exactly_these_keys() -> None:
    log = ["--log", str(REAL / "ib-hca-missing.rank0.log"), "--json"]
    keys = {"ranks", "transport", "cause", "findings", "unrecognized", "earlier_starts"}
    alone = json.loads(CliRunner().invoke(doctor, log).stdout)
    assert set(alone) == keys
    assert set(alone["ranks"][0]["evidence"][0]) == {"file", "line", "text"}
    for found in alone["findings"]:
        assert set(found) == {
            "cause",
            "code",
            "severity",
            "summary",
            "data",
            "ranks",
            "evidence",
            "candidates",
            "fix",
        }
        assert set(found["fix"]) == {"text", "commands"}
    inventory = str(ROOT / "inventories/two-node.yaml")
    decided = json.loads(CliRunner().invoke(doctor, [*log, "-i", inventory]).stdout)
    assert set(decided) == {*keys, "decided", "decisions"}
    for found in decided["decided"]:
        check_finding(found)
    assert decided["decisions"]
    for decision in decided["decisions"]:
        assert set(decision) == {"cause", "state", "node", "checks"}


def brought_up(monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    """`up` on the captured pair, which starts nothing beyond its preflight."""

    def start(session: Any, _: Any, *, preflight: Any, **__: Any) -> UpReport:
        preflight(session)
        return UpReport("lab", {"vllm": Endpoint("http://here/v1", "m2")}, ("started",))

    monkeypatch.setattr("sparkctl.operations.up.up", start)
    return CliRunner().invoke(up, options)


def test_a_report_over_another_file_is_refused_before_a_node_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("a node was asked")

    monkeypatch.setattr("sparkctl.cli.context.open_session", asked)
    path = tmp_path / "inventory.yaml"
    path.write_text("cluster: lab\n")
    done = CliRunner().invoke(doctor, ["--report", str(path), "--json"])
    assert isinstance(done.exception, UsageError)
    assert done.exception.data == {"path": str(path), "problem": "not-a-report"}
    assert path.read_text() == "cluster: lab\n"


def test_a_report_says_on_stderr_whose_texts_are_left_out(answers: Answers, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    del answers.facts["spark-2"]["people"]
    done = CliRunner().invoke(doctor, ["--report", str(path), "--json"])
    assert done.exit_code == 3
    assert "spark-2: accounts could not be read" in done.stderr
    assert f"wrote {path}" in done.stderr
    assert "spark-2: accounts could not be read" in path.read_text()
    assert json.loads(done.stdout)["counts"]["FAIL"] == 1
    again = CliRunner().invoke(doctor, ["--report", str(path)])
    assert again.exit_code == 3, "a report replaces a report"


def test_a_node_without_a_group_of_facts_is_named_and_ends_with_3(answers: Answers) -> None:
    answers.facts["spark-2"] = {}
    answers.looks = {}
    checks = ["--check", "host", "--skip", "host.clock"]  # every answer has the time
    done = CliRunner().invoke(doctor, checks)
    assert done.exit_code == 3
    assert "spark-2: no check could be decided: " in done.stdout
    document = json.loads(CliRunner().invoke(doctor, [*checks, "--json"]).stdout)
    assert document["undecided"] == ["spark-2"]
    assert document["counts"]["FAIL"] == 0


@pytest.mark.usefixtures("answers")
def test_a_failed_check_that_is_ignored_does_not_stop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = brought_up(monkeypatch)
    assert "nothing was started" in str(refused.exception)
    assert "fabric.mtu spark-2: " in str(refused.exception)
    other = brought_up(monkeypatch, "--ignore-check", "fabric.ping")
    assert "fabric.mtu spark-2: " in str(other.exception)
    done = brought_up(monkeypatch, "--ignore-check", "fabric.mtu")
    assert done.exit_code == 0
    assert "m2 is served at http://here/v1" in done.output
