"""Who listens on a port and whose a file is, on a /proc and a disk of a test's own."""

from __future__ import annotations

import json
import os
import pwd
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from sparkctl.node import checkpoint, listeners, modelconfig, packages, processes, system, users
from tests.unit.test_elf import library, note

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  …"
PORTS = {6379, 30000, *range(10002, 10010)}


def socket(port: int, uid: int, inode: int, state: str = "0A", address: str = "0" * 8) -> str:
    """A line of /proc/net/tcp."""
    return (
        f"   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000"
        f"  {uid}        0 {inode} 1 0 100 0 0 10 0"
    )


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc with a process 7 that has the socket 71."""
    monkeypatch.setattr(processes, "PROC", tmp_path)
    (tmp_path / "7/fd").mkdir(parents=True)
    (tmp_path / "7/fd/3").symlink_to("socket:[71]")
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp6").write_text(HEAD + "\n")
    return tmp_path


TABLE = [processes.Process(7, 1, 5, "S", "redis-server", "", "", "", 0)]


def owners(proc: Path, *sockets: str) -> list[Any]:
    (proc / "net/tcp").write_text("\n".join([HEAD, *sockets]) + "\n")
    return [*listeners.listeners(PORTS, TABLE)]


def test_a_runtime_also_has_the_packages_that_its_pth_files_name(tmp_path: Path) -> None:
    """As Python sees them: its own first, and no line that is code."""
    own, base = tmp_path / "venv/lib/python3.12/site-packages", tmp_path / "base"
    for site, package in ((own, "torch-2.13.0"), (base, "torch-2.9.1"), (base, "vllm-0.32.0")):
        (site / f"{package}.dist-info").mkdir(parents=True)
    (own / "base.pth").write_text(f"# base\nimport os\n\n{base}\n/nowhere\n")
    assert packages.venv(tmp_path / "venv")["versions"] == {"torch": "2.13.0", "vllm": "0.32.0"}


def test_a_runtimes_own_libnccl_is_read_and_its_path_without_links(tmp_path: Path) -> None:
    folder = tmp_path / "real/lib/python3.12/site-packages/nvidia/nccl/lib"
    folder.mkdir(parents=True)
    (tmp_path / "venv").symlink_to("real")
    content = library(note(b"GNU\0", 3, b"\xa7\xf4")) + b"NCCL version 2.28.9+cuda13.0\0"
    (folder / "libnccl.so.2").write_bytes(content)
    (folder / "libnccl.so.9").touch()
    found = packages.venv(tmp_path / "venv")
    lib = str(tmp_path / "venv/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so")
    assert found["nccl"] == {
        f"{lib}.2": {"version": "2.28.9", "build": {"id": "a7f4", "bytes": len(content)}},
        f"{lib}.9": {"version": None, "build": None},
    }
    assert (found["venv"], found["real"]) == (str(tmp_path / "venv"), str(tmp_path / "real"))


def test_a_runtimes_python_is_the_one_that_runs_in_it(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text("version = 3.9.0\n")  # of when it was made
    found = packages.venv(tmp_path)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["exists"] is True
    assert packages.venv(tmp_path / "absent")["python"] is None


def test_an_owner_whose_descriptors_are_read_and_one_whose_are_not(proc: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    found = owners(proc, socket(6379, 0, 71), socket(30000, nobody.pw_uid, 72))
    keys = ("port", "pid", "uid", "user", "command")
    assert [{k: o[k] for k in keys} for o in found] == [
        {"port": 6379, "pid": 7, "uid": 0, "user": "root", "command": "redis-server"},
        {"port": 30000, "pid": None, "uid": nobody.pw_uid, "user": "nobody", "command": None},
    ]


def test_only_wanted_ports_that_listen_and_each_owner_once(proc: Path) -> None:
    (proc / "net/tcp6").write_text(f"{HEAD}\n{socket(30000, 4242424, 74, address='0' * 32)}\n")
    found = owners(
        proc,
        socket(22, 0, 71),
        socket(30000, 4242424, 73),
        socket(6379, 0, 75, state="01"),
        socket(10002, 0, 76),
        socket(10010, 0, 77),
    )
    assert [(o["port"], o["user"]) for o in found] == [(30000, ""), (10002, "root")]


def test_people_are_the_accounts_that_are_no_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:\nnobody:x:65534:1::/:\n+::\n")
    monkeypatch.setattr(users, "PASSWD", passwd)
    monkeypatch.setattr(users, "name", {1001: "anna", 4242: "", 33: "www"}.get)
    assert users.people([0, 1000, 1001, 4242, 33]) == ["anna", "bob"]


def shard(path: Path, size: int = 4) -> None:
    header = json.dumps({"w": {"data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)


def test_a_shard_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        shard(tmp_path / f"{name}.safetensors")
    (tmp_path / "b.safetensors").chmod(0o600)
    reads = os.access
    # Root may read all there is, and tests run as root.
    monkeypatch.setattr(os, "access", lambda p, m: Path(p).name[0] != "b" and reads(p, m))
    found = checkpoint.checkpoint(str(tmp_path))
    user = pwd.getpwuid(os.getuid()).pw_name
    assert found["unreadable"] == [
        {"name": "b.safetensors", "uid": os.getuid(), "user": user, "mode": "0600"}
    ]
    assert found["broken"] == []
    assert found["shards"] == 2


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_a_description_that_may_not_be_read_hides_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard(tmp_path / "a.safetensors")
    (tmp_path / name).write_text("{}")
    (tmp_path / name).chmod(0o600)
    access, opens = os.access, Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return opens(path, *arguments, **options)

    # Root may read all there is, and tests run as root.
    monkeypatch.setattr(os, "access", lambda p, m: Path(p).name != name and access(p, m))
    monkeypatch.setattr(Path, "open", refuse)
    found = checkpoint.checkpoint(str(tmp_path))
    unreadable: Any = found["unreadable"]
    assert [f["name"] for f in unreadable] == [name]
    assert found["shards"] == 1


def test_one_definition_of_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/x").mkdir(parents=True)
    for model, path in (("~/models/x", f"{tmp_path}/models/x"), ("models/x", None)):
        assert checkpoint.checkpoint(model).get("path") == path
        assert system.disks(model).get("model", {}).get("path") == path
        named = modelconfig.modelconfig(model, None, {})["path"]
        assert named == (path and f"{path}/config.json")
