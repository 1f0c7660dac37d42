"""The journal of changes: an undo survives a kill -9, and takes back its owner's changes alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sparkctl.node import entries, files, journal, stop, undo

ME = os.getuid()
# `ip` as far as the table uses it: `ip link set LINK mtu N`, on files; in place of the last word
# `die` kills the process that called it, before or after the change.
IP = """\
#!/bin/sh
case $DIE in before) kill -9 $PPID; exit 1;; esac
[ "$5" -lt 9500 ] 2>/dev/null || { echo 'Error: mtu greater than device maximum.' >&2; exit 2; }
echo "$5" >"$NET/$3/mtu"
case $DIE in after) kill -9 $PPID;; esac
"""
CALL = """\
import json, pathlib, sys
from sparkctl.node import entries, files, journal, undo
undo.NET, entries.ROOT = map(pathlib.Path, sys.argv[1:3])
journal.change(json.loads(sys.argv[3]))
"""
TITLE = "set the MTU of x from 1500 to 9000"


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node with a link x of MTU 1500, whose root is this user."""
    (tmp_path / "net/x").mkdir(parents=True)
    (tmp_path / "net/x/mtu").write_text("1500\n")
    (tmp_path / "ip").write_text(IP)
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NET", str(tmp_path / "net"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(undo, "NET", tmp_path / "net")
    monkeypatch.setattr(entries, "ROOT", tmp_path / "root")
    return tmp_path


def mtu(node: Path) -> int:
    return int((node / "net/x/mtu").read_text())


def set_mtu(value: int = 9000, **more: Any) -> Any:
    do = {"name": "link-mtu", "data": {"interface": "x", "mtu": value}}
    return {"cluster": "c", "owner": "fix", "do": do, "title": TITLE, **more}


def killed(node: Path, request: Any, die: str) -> None:
    """A change whose process is killed before or after what it does."""
    argv = [sys.executable, "-c", CALL, str(node / "net"), str(node / "root"), json.dumps(request)]
    done = subprocess.run(argv, env={**os.environ, "DIE": die}, check=False)
    assert done.returncode == -signal.SIGKILL


def take_back(owner: str, *, unfinished: bool = True, root: bool = True) -> Any:
    request = {"cluster": "c", "owner": owner, "unfinished": unfinished, "root": root}
    return journal.take_back(request)  # type: ignore[arg-type]  # a TypedDict


def titles(answer: Any) -> tuple[list[str], list[str]]:
    return [e["title"] for e in answer["taken"]], [e["error"] for e in answer["failed"]]


@pytest.mark.skipif(ME != 0, reason="root's journal is root's")
class TestRoot:
    @pytest.mark.parametrize(("die", "then"), [("before", 1500), ("after", 9000)])
    def test_a_change_that_was_killed_is_taken_back(self, node: Path, die: str, then: int) -> None:
        killed(node, set_mtu(), die)
        assert mtu(node) == then
        assert journal.read({"cluster": "c"})["root"] is True
        (entry,) = entries.of("c", root=True).read()
        assert (entry.owner, entry.undo, entry.done) == ("fix", "link-mtu", False)
        assert entry.data == {"interface": "x", "mtu": 1500}
        assert (node / "root/c").stat().st_mode & 0o777 == 0o700
        assert (node / "root/c/journal.json").stat().st_mode & 0o777 == 0o600
        assert titles(take_back("fix")) == ([TITLE], [])
        assert mtu(node) == 1500
        assert not (node / "root").exists(), "nothing is left"
        assert titles(take_back("fix")) == ([], [])

    def test_a_change_that_is_complete_stays(self, node: Path) -> None:
        assert journal.change(set_mtu()) == {}
        assert mtu(node) == 9000
        assert not (node / "root").exists()
        assert titles(take_back("fix")) == ([], [])
        assert mtu(node) == 9000

    def test_one_that_is_kept_is_taken_back_when_all_is(self, node: Path) -> None:
        journal.change(set_mtu(owner="up/r1", keep=True))
        assert titles(take_back("up")) == ([], [])
        assert titles(take_back("fix", unfinished=False)) == ([], [])
        assert titles(take_back("up/r2", unfinished=False)) == ([], [])
        assert mtu(node) == 9000
        assert titles(take_back("up", unfinished=False)) == ([TITLE], [])
        assert mtu(node) == 1500

    def test_a_change_that_fails_is_undone_at_once(self, node: Path) -> None:
        with pytest.raises(OSError, match="greater than device maximum"):
            journal.change(set_mtu(9999))
        assert mtu(node) == 1500
        assert not (node / "root").exists()

    def test_what_cannot_be_undone_stays_and_is_reported(
        self, node: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (node / "net/x/mtu").write_text("9700\n")  # `ip` refuses it: neither done nor undone
        with pytest.raises(OSError, match="greater than device maximum"):
            journal.change(set_mtu(9999))
        taken, failed = titles(take_back("fix"))
        assert taken == []
        assert "device maximum" in failed[0]
        assert [e.owner for e in entries.of("c", root=True).read()] == ["fix"]

    def test_each_owner_takes_back_its_own_the_last_first(self, node: Path) -> None:
        for owner, value in (("fix", 2000), ("up/r1", 3000), ("lab/mtu-1500", 4000), ("fix", 5000)):
            killed(node, set_mtu(value, owner=owner, title=f"{owner} {value}"), "after")
        assert titles(take_back("fix")) == (["fix 5000", "fix 2000"], [])
        left = [e.owner for e in entries.of("c", root=True).read()]
        assert left == ["up/r1", "lab/mtu-1500"]
        assert mtu(node) == 1500
        assert titles(take_back("up")) == (["up/r1 3000"], [])
        assert titles(take_back("up/mtu-1500")) == ([], [])

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("rm", {"path": "/"}),
            ("change.run", {"argv": ["touch", "/tmp/x"]}),
            ("drop-caches", {}),
            ("link-mtu", {"interface": "x"}),
            ("link-mtu", {"interface": "x", "mtu": True}),
            ("link-mtu", {"interface": "x", "mtu": 1}),
            ("link-mtu", {"interface": "x", "mtu": 1500, "argv": "y"}),
            ("link-mtu", {"interface": "../x", "mtu": 1500}),
            ("link-mtu", {"interface": "-batch", "mtu": 1500}),
            ("link-mtu", {"interface": ["x"], "mtu": 1500}),
            ("link-state", {"interface": "x", "up": 1}),
            ("files", {"temp_dir": "/tmp/sparkctl-c/../x", "state": False, "temp": True}),
            ("files", {"temp_dir": "/tmp/sparkctl-c", "state": False, "temp": True}),
            ("unit", {"run": "r", "role": ""}),
        ],
    )
    def test_what_the_table_does_not_have_is_never_executed(
        self, node: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: dict[str, Any]
    ) -> None:
        """Nor what belongs to the login, by root."""
        for function in ("subprocesses.start", "stop.stop", "stop.remove_folder", "stop.empty"):
            monkeypatch.setattr(f"sparkctl.node.{function}", pytest.fail)
        place = entries.made("c", root=True)
        plant(place, name, data)
        before = (node / "root/c/journal.json").read_bytes()
        try:
            assert titles(take_back("fix"))[0] == []
        except SystemExit as error:
            assert "is damaged" in str(error)  # noqa: PT017  # either way nothing is executed
        assert (node / "root/c/journal.json").read_bytes() == before

    @pytest.mark.parametrize("what", ["folder", "file", "mode", "folder mode", "link", "pipe"])
    def test_a_journal_that_somebody_else_could_write_is_refused(
        self, node: Path, what: str
    ) -> None:
        killed(node, set_mtu(), "after")
        folder, file = node / "root/c", node / "root/c/journal.json"
        if what in ("folder", "file"):
            os.chown(folder if what == "folder" else file, 65534, 65534)
        elif what == "link":
            file.rename(node / "elsewhere")
            file.symlink_to(node / "elsewhere")
        elif what == "pipe":
            file.unlink()
            os.mkfifo(file)
        else:
            (file if what == "mode" else folder).chmod(0o777)
        with pytest.raises(OSError, match=r"journal\.json|refused to use"):
            take_back("fix")
        assert mtu(node) == 9000
        with pytest.raises(OSError, match=r"journal\.json|refused to use"):
            journal.change(set_mtu(4000))
        assert mtu(node) == 9000, "nothing is changed that could not be taken back"


def plant(place: entries.Journal, name: str, data: dict[str, Any]) -> None:
    row = {**entries.new("fix", "x", {}, "planted")._asdict(), "undo": name, "data": data}
    files.replace(place.folder / entries.NAME, json.dumps({"schema": 1, "entries": [row]}))


DAMAGED = """
{
[]
7
{"entries": []}
{"schema": true, "entries": []}
{"schema": 0, "entries": []}
{"schema": 1}
{"schema": 1, "entries": [{}]}
"""


@pytest.mark.parametrize("text", ["", *DAMAGED.split("\n")[1:-1], "[" * 10_000])
def test_a_damaged_journal_is_never_an_empty_one(node: Path, text: str) -> None:
    place = entries.made("c", root=False)
    (place.folder / entries.NAME).write_text(text)
    for call in (lambda: take_back("up", root=False), lambda: journal.read({"cluster": "c"})):
        with pytest.raises(SystemExit, match="is damaged"):
            call()
    assert (place.folder / entries.NAME).read_text() == text


def test_a_newer_journal_is_not_read(node: Path) -> None:
    place = entries.made("c", root=False)
    (place.folder / entries.NAME).write_text('{"schema": 2, "entries": []}')
    with pytest.raises(SystemExit, match="unknown schema 2"):
        take_back("up", root=False)


FILES: Any = {"name": "make-files", "data": {"temp_dir": "/tmp/sparkctl-test-journal"}}


def test_the_files_that_were_made_are_removed_and_others_stay(node: Path) -> None:
    temporary, state = Path(FILES["data"]["temp_dir"]), node / ".sparkctl/c"
    request: Any = {"cluster": "c", "owner": "up/r1", "do": FILES, "title": "x", "keep": True}
    try:
        journal.change(request)
        (entry,) = entries.of("c", root=False).read()
        assert entry.data == {**FILES["data"], "state": True, "temp": True}
        (state / "environment.json").write_text("{}")
        (temporary / "r").mkdir()
        request["owner"] = "up/r2"
        journal.change(request)  # of a cluster that is there: makes nothing
        assert [e.owner for e in entries.of("c", root=False).read()] == ["up/r1"]
        stop.remove({"cluster": "c", "temp_dir": str(temporary)})
        assert {p.name for p in state.iterdir()} == {entries.NAME}, "until it is taken back"
        assert titles(take_back("up", unfinished=False, root=False)) == (["x"], [])
        assert not (node / ".sparkctl").exists()
        assert not temporary.exists()
    finally:
        stop.remove({"cluster": "c", "temp_dir": str(temporary)})


def test_a_rollback_removes_the_files_with_its_own_entries_alone(node: Path) -> None:
    temporary, state = Path(FILES["data"]["temp_dir"]), node / ".sparkctl/c"
    request: Any = {"cluster": "c", "owner": "up/r1", "do": FILES, "title": "x", "unfinished": True}
    where: Any = {"cluster": "c", "temp_dir": str(temporary)}
    try:
        journal.change(request)
        stop.remove(where | {"owner": "up/r2"})
        assert [e.owner for e in entries.of("c", root=False).read()] == ["up/r1"]
        stop.remove(where | {"owner": "up/r1"})
        assert not state.exists()
    finally:
        stop.remove(where)


def test_a_unit_that_was_started_is_stopped(node: Path) -> None:
    place = entries.made("c", root=False)
    mark = {**os.environ, "SPARKCTL_CLUSTER": "c/r1", "SPARKCTL_ROLE": "ray"}
    data, other = {"run": "r1", "role": "ray"}, {**mark, "SPARKCTL_CLUSTER": "c/r2"}
    with entries.recorded(place, "up/r1", "unit", data, "start ray", keep=True):
        process, stays = (subprocess.Popen(["sleep", "60"], env=env) for env in (mark, other))
    try:
        assert titles(take_back("up/r1", root=False)) == ([], [])
        assert titles(take_back("up/r1", unfinished=False, root=False)) == (["start ray"], [])
        assert process.wait(10) == -signal.SIGTERM
        assert stays.poll() is None
    finally:
        for each in (process, stays):
            each.kill()
            each.wait()


def test_a_start_that_raises_leaves_its_entry(node: Path) -> None:
    place = entries.made("c", root=False)
    data = {"run": "r1", "role": "ray"}
    with (
        pytest.raises(KeyboardInterrupt),
        entries.recorded(place, "up/r1", "unit", data, "start ray", keep=True),
    ):
        raise KeyboardInterrupt
    assert titles(take_back("up/r1", root=False)) == (["start ray"], [])


@pytest.mark.parametrize("name", ["files", "unit", "no-such"])
def test_a_call_changes_only_what_the_table_can_make(node: Path, name: str) -> None:
    request: Any = {"cluster": "c", "owner": "fix", "do": {"name": name, "data": {}}, "title": "x"}
    with pytest.raises(SystemExit, match="cannot change the node"):
        journal.change(request)
    wrong: Any
    for wrong in ({"owner": "FIX"}, {"owner": "fix/../x"}, {"title": "a\nb"}, {"cluster": "../c"}):
        with pytest.raises(SystemExit, match="cannot change the node"):
            journal.change(set_mtu() | wrong)
