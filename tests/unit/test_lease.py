"""The lease on a cluster: taken by one, renewed, expired, refused when it is stale."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import files, lease, stop

if TYPE_CHECKING:
    from collections.abc import Callable

ANNA = {"who": "anna@desk", "when": "noon", "why": "up"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The node's clock since boot, to be turned."""
    told = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(lease, "_now", lambda: told.now)
    return told


def take(token: str, **more: Any) -> dict[str, Any] | None:
    request: Any = {"cluster": "c", "owner": ANNA, "token": token, "seconds": 30.0, **more}
    holder: Any = lease.take(request)["holder"]
    return holder and {**holder}


def renew(token: str) -> dict[str, Any]:
    return {**lease.renew({"cluster": "c", "token": token, "seconds": 30.0})}


def stale(token: str) -> Any:
    return lease.stale({"cluster": "c", "token": token})


@pytest.mark.usefixtures("clock")
def test_one_has_it_and_every_other_hears_who() -> None:
    assert take("t1") is None
    assert take("t2") == {**ANNA, "expires_in": 30.0}
    assert stale("t1") is None
    assert stale("t2") == {"holder": {**ANNA, "expires_in": 30.0}}
    assert lease.held("c", but="t1") is None
    lease.release({"cluster": "c", "token": "t2"})
    assert take("t2") is not None
    lease.release({"cluster": "c", "token": "t1"})
    assert take("t2") is None


def test_it_expires_unless_it_is_renewed(clock: SimpleNamespace) -> None:
    take("t1")
    clock.now += 29
    assert renew("t1") == {"held": True, "holder": None}
    clock.now += 29
    assert take("t2") is not None
    clock.now += 2
    assert take("t2") is None
    assert stale("t1") == {"holder": {**ANNA, "expires_in": 30.0}}
    assert renew("t1")["held"] is False
    lease.release({"cluster": "c", "token": "t2"})
    assert stale("t1") == {"holder": None}, "what came and went may have changed anything"


def test_an_expired_one_that_nobody_took_goes_on(clock: SimpleNamespace) -> None:
    take("t1")
    clock.now += 1000  # a laptop that slept
    assert stale("t1") is None
    assert renew("t1")["held"] is True
    assert take("t2") is not None


def test_a_reboot_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    take("t1")
    other = tmp_path / "boot_id"
    other.write_text("another\n")
    monkeypatch.setattr(lease, "BOOT_ID", other)
    assert take("t2") is None


@pytest.mark.usefixtures("clock")
def test_force_takes_it_from_whoever_has_it() -> None:
    take("t1")
    assert take("t2", force=True) is None
    assert stale("t1") is not None


def test_the_lock_of_an_older_sparkctl_counts_until_it_is_broken(home: Path) -> None:
    folder = home / ".sparkctl/c/lock"
    folder.mkdir(parents=True)
    (folder / "owner.json").write_text(json.dumps({**ANNA, "token": "x"}))
    assert take("t") == {**ANNA, "expires_in": None}
    (folder / "owner.json").unlink()  # as a full disk left it
    assert (take("t") or {})["who"] == "unknown"
    assert take("t", force=True) is None
    assert not folder.exists()


def _written(**changes: Any) -> Callable[[Path], object]:
    """Leaves a lease.json of this boot, in force, with these changes."""
    whole = {**ANNA, "token": "x", "schema": 1, "expires": 1010.0, "boot_id": lease._boot_id()}
    return lambda base: (base / lease.NAME).write_text(json.dumps({**whole, **changes}))


def _text(text: str) -> Callable[[Path], object]:
    return lambda base: (base / lease.NAME).write_text(text)


def _loop(base: Path) -> None:
    (base / lease.NAME).symlink_to(lease.NAME)


def _full_folder(base: Path, name: str) -> None:
    (base / name).mkdir()
    (base / name / "a").write_text("1")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "nested": _text("[" * 100_000),
    "nothing": _text(""),
    "list": _text("[]"),
    "no text": lambda base: (base / lease.NAME).write_bytes(b"\xff"),
    "folder": lambda base: _full_folder(base, lease.NAME),
    "pipe": lambda base: os.mkfifo(base / lease.NAME),
    "loop": _loop,
    "dangling": lambda base: (base / lease.NAME).symlink_to("none"),
    "huge": _written(expires=10**399),
    "nan": _written(expires=float("nan")),
    "infinite": _written(expires=float("inf")),
    "far": _written(expires=1000.0 + lease.LONGEST + 1),
    "token": _written(token=1),
    "boot_id": _written(boot_id=None),
    "guard a folder": lambda base: _full_folder(base, lease.GUARD),
    "guard a link": lambda base: (base / lease.GUARD).symlink_to("none"),
    "old a file": lambda base: (base / lease.OLD).write_text(""),
    "old a link": lambda base: (base / lease.OLD).symlink_to("none"),
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_cannot_be_understood_is_held_until_it_is_broken(
    home: Path, damage: Callable[[Path], object]
) -> None:
    base = home / ".sparkctl/c"
    base.mkdir(parents=True)
    damage(base)
    before = sorted(base.iterdir())
    found = lease.held("c")
    assert found is not None
    assert re.match("20", str(found["when"]))
    assert found == {"who": "unknown", "when": found["when"], "why": "unknown", "expires_in": None}
    assert take("t1") == found
    assert renew("t1") == {"held": False, "holder": found}
    assert stale("t1") == stale("") == {"holder": found}
    lease.release({"cluster": "c", "token": "t1"})
    assert set(before) <= set(base.iterdir())
    assert take("t1", force=True) is None
    assert renew("t1") == {"held": True, "holder": None}
    assert take("t2") == {**ANNA, "expires_in": 30.0}
    lease.release({"cluster": "c", "token": "t1"})
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("change", [{}, {"expires": "tomorrow"}, {"expires": 1.0}])
def test_a_lease_of_a_newer_schema_is_held_until_it_is_broken(
    home: Path, change: dict[str, Any]
) -> None:
    """Whatever it says, even that it has expired: this release cannot know."""
    base = home / ".sparkctl/c"
    base.mkdir(parents=True)
    _written(schema=lease.SCHEMA + 1, **change)(base)
    text = (base / lease.NAME).read_text()
    holder = take("x") or {}
    assert (holder["who"], holder["expires_in"]) == ("a newer sparkctl", None)
    # Users see it in "locked by …": it has to name the file and the schema.
    assert holder["why"] == f"{base / lease.NAME} has unknown schema 2 (this sparkctl reads 1)"
    assert renew("x") == {"held": False, "holder": holder}
    assert stale("x") == stale("") == {"holder": holder}
    lease.release({"cluster": "c", "token": "x"})
    assert (base / lease.NAME).read_text() == text
    assert take("t1", force=True) is None
    assert json.loads((base / lease.NAME).read_text())["schema"] == lease.SCHEMA


@pytest.mark.usefixtures("clock")
def test_a_lease_without_a_schema_is_that_of_an_older_release(home: Path) -> None:
    (home / ".sparkctl/c").mkdir(parents=True)
    _written()(home / ".sparkctl/c")
    path = home / ".sparkctl/c" / lease.NAME
    path.write_text(path.read_text().replace('"schema": 1, ', ""))
    assert take("t") == {**ANNA, "expires_in": 10.0}


@pytest.mark.parametrize("name", [lease.GUARD, lease.OLD])
def test_a_lease_is_given_back_whatever_came_to_lie_next_to_it(home: Path, name: str) -> None:
    take("t")
    (home / ".sparkctl/c" / name).unlink(missing_ok=True)
    _full_folder(home / ".sparkctl/c", name)
    lease.release({"cluster": "c", "token": "t"})
    assert not (home / ".sparkctl/c" / lease.NAME).exists()
    assert (take("t2") or {})["who"] == "unknown"


@pytest.mark.usefixtures("clock")
def test_a_lease_of_another_boot_is_expired_whenever_it_ends(home: Path) -> None:
    (home / ".sparkctl/c").mkdir(parents=True)
    _written(boot_id="another", expires=1e7)(home / ".sparkctl/c")
    assert lease.held("c") is None
    assert take("t") is None


def test_force_leaves_the_target_of_a_link(home: Path) -> None:
    base = home / ".sparkctl/c"
    base.mkdir(parents=True)
    for name in (lease.NAME, lease.GUARD, lease.OLD):
        _full_folder(home, f"{name}.target")
        (base / name).symlink_to(home / f"{name}.target")
    assert take("t", force=True) is None
    lease.release({"cluster": "c", "token": "t"})
    assert len(list(home.glob("*.target/a"))) == 3


def test_a_renewal_makes_nothing(home: Path) -> None:
    assert renew("t") == {"held": False, "holder": None}
    assert list(home.iterdir()) == []
    files.write({"cluster": "c", "files": {"a": "1"}})
    assert renew("t") == {"held": False, "holder": None}
    assert [p.name for p in (home / ".sparkctl/c").iterdir()] == ["a"]


def test_a_renewal_that_a_release_overtakes_makes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take("t")
    read = lease._read

    def overtaken(base: Path) -> lease.Lease | None:
        found = read(base)
        monkeypatch.setattr(lease, "_read", read)
        lease.release({"cluster": "c", "token": "t"})
        return found

    monkeypatch.setattr(lease, "_read", overtaken)
    assert renew("t") == {"held": False, "holder": None}
    assert list(home.iterdir()) == []


def test_a_lease_that_another_node_took_here_is_left(home: Path) -> None:
    take("t")
    path = home / ".sparkctl/c" / lease.NAME
    path.write_text(path.read_text().replace(lease._boot_id(), "another"))
    text = path.read_text()
    for force in (False, True):
        request: Any = {"cluster": "c", "owner": ANNA, "token": "t", "seconds": 30.0}
        assert lease.take(request | {"force": force}) == {
            "holder": None,
            "unwritten": None,
            "shared": True,
        }
    assert path.read_text() == text


def test_nothing_is_left_when_it_is_given_back(home: Path) -> None:
    take("t")
    lease.release({"cluster": "c", "token": "t"})
    assert list(home.iterdir()) == []


def test_what_else_is_there_stays(home: Path) -> None:
    files.write({"cluster": "c", "files": {"a": "1"}})
    take("t")
    lease.release({"cluster": "c", "token": "t"})
    assert {p.name for p in (home / ".sparkctl/c").iterdir()} == {"a"}
    take("t")
    assert stop.remove({"cluster": "c", "temp_dir": "/nonexistent"})["removed"] != []
    assert stale("t") is None, "`down` keeps its lease to the end"
    lease.release({"cluster": "c", "token": "t"})
    assert list(home.iterdir()) == []


def test_a_full_disk_leaves_no_lease_and_hides_no_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "replace", full)
        request: Any = {"cluster": "c", "owner": ANNA, "token": "t1", "seconds": 30.0}
        full_disk = "No space left on device"
        assert lease.take(request) == {"holder": None, "unwritten": full_disk, "shared": False}
    assert stale("") is None, "who could not write it may go on while nobody has it"
    take("t2")
    assert (stale("") or {})["holder"]["who"] == "anna@desk"


def test_a_file_is_written_wholly_or_not_at_all(home: Path) -> None:
    """A real full disk is the file-size limit here: the write fails the same way."""
    program = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; from sparkctl.node import files;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8));"
        "files.replace(Path(sys.argv[2]), 'x' * 100)"
    )
    path = home / "f"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path.cwd()), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "File too large" in done.stderr
    assert [p.name for p in home.iterdir()] == ["f"]
    assert path.read_text() == "old"
