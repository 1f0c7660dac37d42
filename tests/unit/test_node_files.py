"""sparkctl's files on a node: private, atomic, of a known schema, and removable."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sparkctl.node
from sparkctl.engines.vllm.ray import ray_dir
from sparkctl.node import entries, files, follow, lease, sharedmemory, state, stop
from sparkctl.plan import paths, record


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_files_are_private_and_rewritten_only_when_they_differ(home: Path) -> None:
    request: Any = {"cluster": "c", "files": {"environment.json": '{"A": "1"}'}}
    assert files.write(request) == {"changed": ["environment.json"]}
    path = home / ".sparkctl/c/environment.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert files.write(request) == {"changed": []}
    assert files.environment("c") == {"A": "1"}, "as releases before there were schemas wrote it"
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


def test_the_environment_is_read_as_it_was_written(home: Path) -> None:
    variables = {"A": "1", "schema": "x"}
    text = files.environment_text(variables)
    files.write({"cluster": "c", "files": {"environment.json": text}})
    assert files.environment("c") == variables


def test_an_environment_of_a_newer_schema_is_not_read(home: Path) -> None:
    text = json.dumps({"schema": files.SCHEMA + 1, "variables": {"A": "1"}})
    files.write({"cluster": "c", "files": {"environment.json": text}})
    reason = (
        r"/environment\.json has unknown schema 2 \(this sparkctl reads 1\); run"  # its only code
    )
    with pytest.raises(SystemExit, match=reason):
        files.environment("c")


def test_each_file_is_listed_with_its_schema() -> None:
    schemas = {
        entries.NAME: entries.SCHEMA,
        lease.NAME: lease.SCHEMA,
        paths.APPLIED: state.SCHEMA,
        paths.ENVIRONMENT: files.SCHEMA,
        sharedmemory.NOTED: sharedmemory.SCHEMA,
    }
    rows = re.findall(r"^    (\S+\.json) +(\d)", sparkctl.node.__doc__ or "", re.M)
    assert {name: int(schema) for name, schema in rows} == schemas
    assert state.SCHEMA == record.SCHEMA


DAMAGED = ("", "[]", '{"A": 1}', '["ab"]', "[" * 100_000, "\udcff", '{"schema": 1}')


@pytest.mark.parametrize("text", [*DAMAGED, '{"schema": 1, "variables": {"A": 1}}'])
def test_a_damaged_environment_is_named(home: Path, text: str) -> None:
    path = home / ".sparkctl/c/environment.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(SystemExit, match=r"environment\.json is damaged; run `sparkctl down`"):
        files.over_login("c")


def test_remove_leaves_no_trace_and_touches_no_link(home: Path) -> None:
    temp, users = home / "temp", home / "users"
    users.mkdir()
    files.write({"cluster": "c", "files": {"a": "1"}, "temp_dir": str(temp)})
    assert (temp / "tmp").is_dir()
    removed = [str(temp), str(home / ".sparkctl/c")]
    assert stop.remove({"cluster": "c", "temp_dir": str(temp)}) == {"removed": removed}
    assert sorted(p.name for p in home.iterdir()) == ["users"]
    (home / "link").symlink_to(users)
    assert stop.remove({"cluster": "c", "temp_dir": str(home / "link")}) == {"removed": []}
    assert users.is_dir()


def test_the_last_lines_of_a_log(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = home / "x.log"
    log.write_text("".join(f"line {n}\n" for n in range(100_000)) + "no end")
    follow.follow({"path": str(log), "lines": 2, "follow": False})
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "".join(e.get("text", "") for e in events) == "line 99999\nno end"


BARS = "bar 1\rbar 2\rbar 3\n"  # a line, whatever a terminal makes of it


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("text", ["", "a", "a\nb\n\nc", BARS * 3, f"{'x' * 65536}\n" * 3 + "y"])
@pytest.mark.parametrize("lines", [0, 1, 2, 5])
def test_a_log_has_as_many_last_lines_as_asked(
    home: Path, capsys: pytest.CaptureFixture[str], text: str, end: str, lines: int
) -> None:
    (home / "x.log").write_bytes((text + end).encode())
    follow.follow({"path": str(home / "x.log"), "lines": lines, "follow": False})
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kept = [f"{line}\n" for line in (text + end).split("\n")]
    kept[-1] = kept[-1][:-1]
    kept = kept if kept[-1] else kept[:-1]
    assert "".join(e.get("text", "") for e in events) == "".join(kept[-lines:] if lines else [])


def test_all_of_a_log_begins_with_the_parts_that_were_set_aside(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "NCCL INFO \N{GREEK SMALL LETTER MU}\n" * 20_000  # several pieces, cut within characters
    (home / "x.log").write_text(f"{long}last\n")
    (home / "x.begin.log").write_text("first\n")
    follow.follow({"path": str(home / "x.log"), "all": True, "follow": False})
    (home / "x.before.log").write_text("second\n")
    follow.follow({"path": str(home / "x.log"), "all": True, "follow": False})
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    texts = [e.get("text", "") for e in events]
    assert max(map(len, texts)) <= 65536
    assert "".join(texts) == f"first\n{long}last\nfirst\nsecond\n{long}last\n"


def test_all_of_a_log_is_followed(home: Path) -> None:
    (home / "x.log").write_text("one\n")
    (home / "x.begin.log").write_text("zero\n")
    code = (
        "from sparkctl.node import follow\n"
        f"follow.follow({{'path': {str(home / 'x.log')!r}, 'all': True, 'follow': True}})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert "at" in json.loads(process.stdout.readline())  # where it begins
    texts = [json.loads(process.stdout.readline())["text"] for _ in range(2)]
    with (home / "x.log").open("a") as log:
        log.write("two\n")
    texts.append(json.loads(process.stdout.readline())["text"])
    process.stdin.close()
    assert process.wait() == 0
    assert texts == ["zero\n", "one\n", "two\n"]


def test_a_directory_that_ray_opened_to_everybody_is_private_again(home: Path) -> None:
    temp = home / "temp"
    temp.mkdir()
    temp.chmod(0o777)
    files.write({"cluster": "c", "files": {}, "temp_dir": str(temp)})
    assert [p.stat().st_mode & 0o777 for p in (temp, temp / "tmp")] == [0o700, 0o700]


@pytest.mark.parametrize("length", [1, 25, 26, 32])
def test_rays_sockets_fit_below_a_private_directory(length: int) -> None:
    """unix(7) has room for 107 bytes; the session's name as Ray 2.60 makes it."""
    cluster = "c" * length
    path = Path(ray_dir(paths.temp_dir(cluster)))
    socket = path / "session_2026-11-21_12-00-00_123456_4194304/sockets/plasma_store"
    assert len(str(socket)) <= 107
    assert path.parent == Path(paths.temp_dir(cluster))


def test_long_names_of_clusters_have_directories_of_their_own() -> None:
    names = ["c" * 26, "c" * 27, "c" * 25 + "d"]
    assert len({paths.temp_dir(name) for name in names}) == 3
