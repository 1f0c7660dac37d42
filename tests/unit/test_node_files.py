"""Our files on a node: private, atomic, and gone when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparkctl.node import ending, files, follow


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_files_are_private_and_rewritten_only_when_they_differ(home: Path) -> None:
    request = {"cluster": "c", "files": {"environment.json": '{"A": "1"}'}}
    assert files.write(request) == {"changed": ["environment.json"]}
    path = home / ".sparkctl/c/environment.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert files.write(request) == {"changed": []}
    assert files.environment("c") == {"A": "1"}
    assert sorted(p.name for p in path.parent.iterdir()) == ["environment.json"]


def test_a_token_of_the_login_does_not_win_over_our_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the login")
    monkeypatch.setenv("EDITOR", "vi")
    files.write({"cluster": "c", "files": {"environment.json": '{"RAY_AUTH_MODE": "token"}'}})
    found = files.over_login("c")
    assert "RAY_AUTH_TOKEN" not in found
    assert (found["EDITOR"], found["RAY_AUTH_MODE"]) == ("vi", "token")


def test_remove_leaves_no_trace_and_touches_no_link(home: Path) -> None:
    temp, users = home / "temp", home / "users"
    users.mkdir()
    files.write({"cluster": "c", "files": {"a": "1"}, "temp_dir": str(temp)})
    assert (temp / "tmp").is_dir()
    assert len(ending.remove({"cluster": "c", "temp_dir": str(temp)})["removed"]) == 2
    assert sorted(p.name for p in home.iterdir()) == ["users"]
    (home / "link").symlink_to(users)
    assert ending.remove({"cluster": "c", "temp_dir": str(home / "link")}) == {"removed": []}
    assert users.is_dir()


def test_the_last_lines_of_a_log(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = home / "x.log"
    log.write_text("".join(f"line {n}\n" for n in range(100_000)) + "no end")
    follow.follow({"path": str(log), "lines": 2, "follow": False})
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "".join(e["text"] for e in events) == "line 99999\nno end"
