"""What is sent to a node: bytecode for a Python like ours, sources for any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.remote.node_rpc import LOADER, STALE, call, sources

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = {"cluster": "no-such-cluster", "names": ["a"]}


def answer(**changes: Any) -> subprocess.CompletedProcess[str]:
    """What a node with this Python says to a payload with these changes."""
    load = {**json.loads(call("files.read", REQUEST).stdin), **changes}
    argv = [sys.executable, "-I", "-S", "-c", LOADER]
    return subprocess.run(
        argv, input=json.dumps(load) + "\n", capture_output=True, text=True, check=False
    )


def test_a_python_like_ours_compiles_nothing() -> None:
    unread = [(name, "1 +") for name, _ in sources("files")]
    assert json.loads(answer(modules=unread).stdout) == {"a": None}


def test_another_python_compiles_the_sources() -> None:
    assert json.loads(answer(magic="", code="not bytecode").stdout) == {"a": None}


@pytest.mark.parametrize("module", ["probe", "completion", "stop", "raytable", "peers"])
def test_what_only_the_type_checker_reads_is_not_sent(module: str) -> None:
    assert not {"wire", "peerwire", "boxwire", "logwire"} & {*dict(sources(module))}


@pytest.mark.parametrize("magic", ["", None])
def test_sources_that_are_broken_are_seen_there(magic: str | None) -> None:
    broken = answer(magic=magic, modules=[(name, "1 +") for name, _ in sources("files")])
    assert "SyntaxError" in broken.stderr


def test_a_file_that_fails_is_named_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / ".sparkctl").write_text("")
    command = call("files.write", {"cluster": "c", "files": {"a": "1"}})
    argv, home = [sys.executable, *command.argv[1:]], {"HOME": str(tmp_path)}
    done = subprocess.run(argv, input=command.stdin, capture_output=True, check=False, env=home)
    assert (done.returncode, done.stderr.decode()) == (1, f"{tmp_path}/.sparkctl: File exists\n")


SUDO = """\
#!/bin/sh
[ "$1" = --non-interactive ] && shift || exit 9
echo sudo >>"$HOME/called"
exec "$@"
"""
NOBODY = 65534


@pytest.fixture
def login() -> Iterator[Path]:
    """The home of nobody, whose `sudo` gives no other rights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "sudo").write_text(SUDO)
        for each, mode in ((path, 0o755), (path / "sudo", 0o755)):
            each.chmod(mode)
            os.chown(each, NOBODY, NOBODY)
        yield path


def by(uid: int, home: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """How a call of journal.read ends for this user."""
    command = call("journal.read", {"cluster": "no-such-cluster"}, **options)
    environment = {"HOME": str(home), "PATH": f"{home}:/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(
        command.argv,
        input=command.stdin,
        capture_output=True,
        check=False,
        env=environment,
        user=uid,
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_what_only_root_can_do_goes_through_sudo_where_the_login_is_not_root(login: Path) -> None:
    for uid, root, called in ((NOBODY, False, False), (0, True, False), (NOBODY, True, True)):
        done = by(uid, login, root=root)
        assert json.loads(done.stdout) == {"entries": [], "root": False}, done.stderr
        assert (login / "called").exists() == called
    (login / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
    done = by(NOBODY, login, root=True)
    assert (done.returncode, done.stderr) == (1, b"sudo: a password is required\n")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_the_lease_is_checked_before_sudo(login: Path) -> None:
    lease = {"cluster": "no-such-cluster", "token": "lost"}
    assert by(NOBODY, login, root=True, lease=lease).returncode == STALE
    assert not (login / "called").exists()
