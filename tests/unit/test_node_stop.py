"""Stopping units: in their order, the leader alone, by a command, and nobody else's."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.facts.groups import Owner, State
from sparkctl.node import belongings, probe, processes, running, settle, signals, state, stop
from tests.unit.nodeunits import CLUSTER, ENGINE, RAY, SLEEP, home, of, python, start, until

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home"]
pytestmark = pytest.mark.usefixtures("home")
OTHER = 4242  # an account
# Writes its name when TERM comes, and goes.
GOES = "trap 'echo $1 >>order; exit' TERM; touch $1.up; while :; do sleep 0.05; done"


def ended(**more: Any) -> Any:
    request: Any = {"cluster": CLUSTER, "grace": 20}
    return stop.stop(request | more)


@pytest.fixture
def goes(tmp_path: Path) -> str:
    """The command that runs GOES, to be followed by a name."""
    path = tmp_path / "goes"
    path.write_text(GOES)
    return f"sh {path}"


def up(home: Path, *names: str) -> None:
    until(lambda: all((home / f".sparkctl/{CLUSTER}/{name}.up").exists() for name in names))


def test_only_the_named_units_are_stopped() -> None:
    engine, ray = start(SLEEP)["pid"], start(SLEEP, unit=RAY)["pid"]
    answer = ended(units=[ENGINE])
    assert [p["pid"] for p in answer["stopped"]] == [engine]
    assert (answer["remaining"], answer["error"]) == ([], None)
    assert [p.pid for p in processes.ours(CLUSTER) if p.role != "log"] == [ray]
    assert ended(units=[])["stopped"] == []
    assert [p["pid"] for p in ended()["stopped"]] == [ray]
    assert processes.ours(CLUSTER) == []


def test_a_unit_that_was_stopped_starts_again_in_the_same_run() -> None:
    first = start(SLEEP)["pid"]
    ended(units=[ENGINE])
    assert start(SLEEP)["pid"] != first
    assert len(of(ENGINE)) == 1


@pytest.mark.parametrize(("before", "after"), [("starting", "stopped"), ("ready", "ready")])
def test_a_start_that_was_stopped_has_not_failed(before: str, after: str) -> None:
    start(SLEEP)
    state.phase({"cluster": CLUSTER, "unit": ENGINE, "run": "r1", "phase": before})
    ended(units=[ENGINE], run="r2")
    assert state.read(CLUSTER)["units"][ENGINE]["phase"] == before, "another's"
    ended(units=[ENGINE], run="r1")
    assert state.read(CLUSTER)["units"][ENGINE]["phase"] == after


def order(home: Path) -> list[str]:
    return (home / f".sparkctl/{CLUSTER}/order").read_text().split()


def test_what_is_to_go_last_does(home: Path, goes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "program", lambda p: p.command.split()[-1])
    start(["sh", "-c", f"{goes} early & exec {goes} late"])
    up(home, "early", "late")
    assert ended(units=[ENGINE], last=["late"])["remaining"] == []
    assert order(home) == ["early", "late"]


def test_term_goes_to_the_leader_alone(home: Path, goes: str) -> None:
    leader = f"{goes} child & trap 'kill -KILL $!; echo leader >>order; exit' TERM; touch leader.up"
    start(["sh", "-c", f"{leader}; wait"])
    up(home, "leader", "child")
    assert ended(units=[ENGINE], leader=True)["remaining"] == []
    assert order(home) == ["leader"]


def test_without_its_leader_all_get_term(home: Path, goes: str) -> None:
    start(["sh", "-c", f"{goes} child &"], wait=30)
    up(home, "child")
    assert ended(units=[ENGINE], leader=True)["remaining"] == []
    assert order(home) == ["child"]


def test_a_command_ends_the_unit(home: Path, goes: str) -> None:
    pid = start([*goes.split(), "engine"])["pid"]
    up(home, "engine")
    answer = ended(units=[ENGINE], argv=["sh", "-c", f"kill -TERM {pid}"])
    assert (answer["remaining"], answer["error"]) == ([], None)
    assert [p["pid"] for p in answer["stopped"]][:1] == [pid]
    assert order(home) == ["engine"]


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["/no/such"], "/no/such: No such file or directory"),
        (["sh", "-c", "echo no >&2; exit 3"], "sh exited with status 3: no"),
        (["sleep", "300"], "sleep timed out after 0.3 s"),
    ],
)
def test_what_a_command_does_not_end_is_killed(
    argv: list[str], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "COMMAND", 0.2)
    start(SLEEP)
    answer = ended(units=[ENGINE], argv=argv, grace=0.1)
    assert (answer["error"], answer["remaining"], of(ENGINE)) == (error, [], [])


def test_what_this_account_may_not_signal_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    pid = start(SLEEP)["pid"]
    with monkeypatch.context() as patched:
        patched.setattr("signal.pidfd_send_signal", refuse)
        answer = ended(units=[ENGINE])
    assert [p["pid"] for p in answer["remaining"]] == [pid]
    assert ended(units=[ENGINE])["remaining"] == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
def test_another_accounts_cluster_of_the_same_name_is_not_ours(tmp_path: Path) -> None:
    own = start(SLEEP)["pid"]
    env = {**os.environ, processes.MARK: f"{CLUSTER}/theirs", processes.ROLE: "vllm"}
    argv = ["setpriv", f"--reuid={OTHER}", "--clear-groups", *SLEEP]
    theirs = subprocess.Popen(argv, env=env)
    try:
        until(lambda: (processes.PROC / str(theirs.pid)).stat().st_uid == OTHER)
        os.chown(tmp_path, OTHER, 0)
        request: Any = {"cluster": CLUSTER, "temp_dir": str(tmp_path), "names": []}
        facts = State.model_validate(belongings.of(request, processes.table(CLUSTER)))
        claim = {"uid": OTHER, "user": "", "pid": theirs.pid, "cluster": CLUSTER, "run": "theirs"}
        assert [other.model_dump() for other in facts.others] == [claim]
        seen: Any = probe._ours(request | {"watch": []}, processes.table(CLUSTER))
        assert [(p["pid"], p["unit"]) for p in seen] == [(own, ENGINE)], "nor its shim"
        assert facts.temp_dir_owner == Owner(uid=OTHER, user="")
        assert [p["pid"] for p in ended()["stopped"]] == [own]
        assert theirs.poll() is None
    finally:
        theirs.kill()
        theirs.wait()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
def test_a_mark_is_another_accounts_too_if_it_descends_from_a_unit() -> None:
    drop = f"import os; os.setuid({OTHER}); os.execvp('sleep', ['sleep', '300'])"
    start(python(drop))
    until(lambda: [p.uid for p in of(ENGINE)] == [OTHER])
    assert running.others(CLUSTER, processes.table(CLUSTER)) == []
    assert ended(units=[ENGINE])["remaining"] == []


def test_nothing_is_changed_where_a_newer_sparkctl_was(home: Path) -> None:
    pid = start(SLEEP)["pid"]
    path = home / f".sparkctl/{CLUSTER}/{state.NAME}"
    old = path.read_text()
    newer = f'{{"schema": {state.SCHEMA + 1}}}'
    path.write_text(newer)
    said = rf"{path} has unknown schema 3 \(this sparkctl reads 2\); update sparkctl"
    calls: list[Any] = [
        ended,
        lambda: start(SLEEP, unit=RAY),
        lambda: stop.clear({"cluster": CLUSTER, "temp_dir": str(home / "t")}),
        lambda: stop.remove({"cluster": CLUSTER, "temp_dir": str(home / "t")}),
        lambda: state.join({"cluster": CLUSTER, "id": "1", "by": {}, "nodes": {}}),
        lambda: state.phase({"cluster": CLUSTER, "unit": ENGINE, "run": "r1", "phase": "ready"}),
        lambda: state.forget({"cluster": CLUSTER, "units": [ENGINE]}),
    ]
    for call in calls:
        with pytest.raises(SystemExit, match=said):
            call()
    assert path.read_text() == newer
    assert [p.pid for p in of(ENGINE)] == [pid]
    path.write_text(old)


def test_a_damaged_journal_is_named_with_the_remedy(home: Path) -> None:
    path = home / f".sparkctl/{CLUSTER}/journal.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("garbage")
    keep: Any = {"cluster": CLUSTER, "keep": {}}
    where: Any = {"cluster": CLUSTER, "temp_dir": str(home / "t"), "owner": "up"}
    calls: list[Any] = [lambda: settle.recover(keep), lambda: stop.remove(where)]
    for call in calls:
        with pytest.raises(SystemExit, match=r"journal.json is damaged .* Remove it"):
            call()
    path.unlink()
