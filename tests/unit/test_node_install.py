"""A virtual environment on a node is built once, moved whole, and otherwise taken back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from sparkctl.node import entries, guard, install, journal, shim, stop, venvs

# In place of pip: an environment with a script, and then as long as there is a file `hold`.
BUILDS = """\
mkdir -p "$2/bin" && echo "command = $2" > "$2/pyvenv.cfg" && echo "#!$2/bin/python" > "$2/bin/vllm"
echo "$@" "$PIP_INDEX_URL"
while [ -e "$HOME/hold" ]; do sleep 0.05; done
exit "$(cat "$HOME/status" 2>/dev/null || echo 0)"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(install, "WITH_PIP", BUILDS)
    return tmp_path


CLUSTER = f"venvs-{os.getpid()}"  # what is stopped is found by its mark, also in other workers


def begin(home: Path, run: str, spec: str = "s", cluster: str = CLUSTER) -> Any:
    return install.begin(
        {
            "cluster": cluster,
            "venv": str(home / "v"),
            "program": sys.executable,
            "pip": ["ray==1"],
            "uv": [],
            "env": {"PIP_INDEX_URL": "url"},
            "spec": spec,
            "run": run,
            "unit": "vllm/0/install/n",
        }
    )


def finish(home: Path, run: str) -> Any:
    request: Any = {"cluster": CLUSTER, "venv": str(home / "v"), "run": run}
    while (ended := install.ended(request))["status"] is None:
        pass
    assert ended["status"] == 0
    return install.finish(request)


def take_back() -> Any:
    answer = journal.take_back({"cluster": CLUSTER, "owner": "install", "unfinished": True})
    assert answer["failed"] == []
    return answer["taken"]


def names(home: Path) -> list[str]:
    return sorted(p.name for p in home.iterdir() if p.name not in ("hold", "status"))


def entered(home: Path) -> list[str]:
    return [entry.owner for entry in entries.of(CLUSTER, root=False).read()]


def test_what_was_built_is_moved_and_its_scripts_name_the_path(home: Path) -> None:
    begun = begin(home, "r1")
    assert (begun["run"], begun["other"]) == ("r1", None)
    assert entered(home) == ["install/r1"]
    log = finish(home, "r1")["log"]
    assert (home / "v/bin/vllm").read_text() == f"#!{home}/v/bin/python\n"
    assert (home / "v/pyvenv.cfg").read_text() == f"command = {home}/v\n"
    assert "ray==1 url" in (home / "v/sparkctl-install.log").read_text()
    assert log == str(home / "v/sparkctl-install.log")
    assert names(home) == ["v"], "neither a journal nor the folder is left"
    # A call that was lost with its connection is repeated.
    assert install.finish({"cluster": CLUSTER, "venv": str(home / "v"), "run": "r1"})["log"] == log


def test_the_same_is_found_again_and_something_else_replaces_it(home: Path) -> None:
    (home / "hold").touch()
    first = begin(home, "r1")
    assert begin(home, "r1") == first
    assert begin(home, "r2") == first, "another run goes on with it"
    assert begin(home, "r3", cluster="other")["other"] == CLUSTER
    other = begin(home, "r4", spec="t")
    assert (other["run"], other["pid"] != first["pid"]) == ("r4", True)
    assert not Path(f"/proc/{first['pid']}").exists()
    assert entered(home) == ["install/r4"]
    (home / "hold").unlink()
    finish(home, "r4")


def test_what_is_complete_and_not_moved_is_moved_by_the_next_run(home: Path) -> None:
    begun = begin(home, "r1")
    while shim.status(venvs.place(str(home / "v")).exit) is None:
        pass
    assert begin(home, "r2")["run"] == begun["run"] == "r1"
    finish(home, "r1")
    assert entered(home) == []


@pytest.mark.parametrize("how", ["runs", "failed", "killed"])
def test_what_is_not_complete_is_taken_back_and_the_log_stays(home: Path, how: str) -> None:
    (home / "v").mkdir()
    (home / "v/mine").touch()
    if how != "failed":
        (home / "hold").touch()
    (home / "status").write_text("1")
    begun = begin(home, "r1")
    if how == "killed":
        os.kill(begun["pid"], signal.SIGKILL)
    if how != "runs":
        request: Any = {"cluster": CLUSTER, "venv": str(home / "v"), "run": "r1"}
        while install.ended(request)["status"] is None:
            pass
        with pytest.raises(SystemExit, match="nothing complete was built"):
            install.finish(request)
    assert [entry["owner"] for entry in take_back()] == ["install/r1"]
    assert [p.name for p in (home / ".v.sparkctl").iterdir()] == ["install.log"]
    assert (home / "v/mine").exists()
    assert entered(home) == []


def test_down_ends_it_and_leaves_nothing(home: Path) -> None:
    (home / "hold").touch()
    begun = begin(home, "r1")
    answer: Any = stop.clear({"cluster": CLUSTER, "temp_dir": str(home / "tmp")})
    assert begun["pid"] in [process["pid"] for process in answer["stopped"]]
    assert names(home) == []


@pytest.mark.parametrize("after", ["relocate", "old", "new"])
def test_a_move_that_was_cut_off_is_completed_or_taken_back(
    home: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "v").mkdir()
    (home / "v/mine").touch()
    begin(home, "r1")
    place = venvs.place(str(home / "v"))
    while shim.status(place.exit) is None:
        pass
    cut_off(place, after, monkeypatch)
    if after == "new":  # it is complete, and only the old one is still to be removed
        take_back()
        assert (home / "v/bin/vllm").exists()
    else:
        take_back()
        assert (home / "v/mine").exists()
        assert not (home / ".v.sparkctl/new").exists()
        begin(home, "r2")
        place = venvs.place(str(home / "v"))
        while shim.status(place.exit) is None:
            pass
        cut_off(place, after, monkeypatch)
        finish(home, "r2")
        assert (home / "v/bin/vllm").read_text() == f"#!{home}/v/bin/python\n"
    assert names(home)[-1:] == ["v"]
    assert entered(home) == []


def cut_off(place: venvs.Place, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Move as far as this step."""

    class CutOffError(Exception):
        pass

    def cut(*_: object) -> None:
        raise CutOffError

    with monkeypatch.context() as patched:
        if after == "relocate":
            patched.setattr(shutil, "copyfile", cut)
        elif after == "old":
            rename = Path.rename

            def first(path: Any, target: Any) -> Any:
                return cut() if path.name == "new" else rename(path, target)

            patched.setattr(Path, "rename", first)
        else:
            patched.setattr(guard, "remove", cut)
        with pytest.raises(CutOffError):
            place.move()


def test_a_journal_of_somebody_else_removes_no_virtual_environment(home: Path) -> None:
    (home / ".v.sparkctl/new").mkdir(parents=True)
    (home / "v").mkdir()
    journal_of = entries.made(CLUSTER, root=False)
    for venv in (str(home / "v"), "/", "v"):
        entry = entries.new("install/r1", "venv", {"venv": venv, "run": "r1"}, "x")
        journal_of.enter(entry)
    answer: Any = journal.take_back({"cluster": CLUSTER, "owner": "install", "unfinished": True})
    assert len(answer["failed"]) == 2, "a relative path, and one that has no folder"
    assert (home / "v").exists()
    assert (home / ".v.sparkctl/new").exists(), "its state names no run"


def test_a_look_tells_what_is_there(home: Path) -> None:
    request: Any = {"venv": "~/v", "program": sys.executable, "packages": ["ray", "vllm"]}
    found: Any = install.look(request)
    version = ".".join(map(str, sys.version_info[:3]))
    assert (found["path"], found["kind"], found["base_python"]) == (f"{home}/v", "absent", version)
    assert (found["unwritable"], found["users"], found["left"]) == (None, [], False)
    (home / "v").symlink_to(home / "real")
    (home / "real/lib/python3.12/site-packages/ray-2.60.0.dist-info").mkdir(parents=True)
    found = install.look(request)
    assert found["kind"] == "other"
    (home / "real/pyvenv.cfg").touch()
    found = install.look(request)
    assert (found["path"], found["kind"]) == (f"{home}/real", "venv")
    assert (found["versions"], found["python"]) == ({"ray": "2.60.0"}, None)
    assert json.dumps(found)
    request["program"] = "python9.9"
    found = install.look(request)
    assert (found["base"], found["ensurepip"]) == (None, False)
    request["venv"] = f"{sys.executable}/v"
    found = install.look(request)
    assert found["unwritable"].endswith("is not a directory")
