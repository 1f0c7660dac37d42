"""The probe on this machine: what hangs or fails costs one group of facts."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import hardware, peers, probe, processes, settings, subprocesses, system, timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL: Any = {"model": "/", "revision": None, "hub": {}}
PORTS: Any = {"ports": [], "worker_ports": [1, 1]}
REQUEST: Any = {"cluster": "c", "venv": "/nowhere", "temp_dir": "/nowhere", **MODEL, **PORTS}
REQUEST |= {"names": [], "conf_file": "", "watch": [], "image": "", "tools": [], "mounts": []}
REQUEST["reader"] = None


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """What a read that hangs waits for; it is let go at the test's end."""
    event = threading.Event()
    yield event
    event.set()


def stub(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name on the PATH that never ends."""
    path = folder / name
    path.write_text("#!/bin/sh\nexec sleep 1000\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_bounded_read_gives_its_answer_or_its_error(hang: threading.Event) -> None:
    assert timeout.bounded(lambda: None, 5) is None
    with pytest.raises(KeyError):
        timeout.bounded(lambda: REQUEST["x"], 5)
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        timeout.bounded(hang.wait, 0.1)


def test_a_group_that_hangs_loses_no_other(
    hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "GROUP_SECONDS", 0.2)
    monkeypatch.setattr(hardware, "memory", hang.wait)
    monkeypatch.setattr(system, "disks", lambda _: {})
    facts: Any = probe.probe(REQUEST)
    assert facts["unread"]["memory"] == {"reason": "no answer within 0.2 s", "kind": "timeout"}
    assert "memory" not in facts
    assert facts["system"]["limits"]["nofile"]
    assert "state" in facts, "which is read after it"


def test_a_process_table_that_hangs_loses_only_what_needs_it(
    hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "GROUP_SECONDS", 0.2)
    monkeypatch.setattr(processes, "table", hang.wait)
    unread: Any = probe.probe(REQUEST)["unread"]
    assert {"ports", "ours", "foreign_rays"} <= set(unread)
    assert "system" not in unread


def test_a_file_of_settings_that_hangs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(own := tmp_path / "nccl.conf")  # it has no writer: opening it waits for one
    monkeypatch.setattr(settings, "FILE_SECONDS", 0.2)
    try:
        unread: Any = probe.probe(REQUEST | {"conf_file": str(own)})["unread"]
    finally:
        os.close(os.open(own, os.O_RDWR))
    reason = f"{own}: no answer within 0.2 s"
    assert unread["settings"] == {"reason": reason, "kind": "timeout"}


@pytest.mark.parametrize(
    ("error", "reason", "kind"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied", "denied"),
        (FileNotFoundError("ip: No such file or directory"), None, "absent"),
        (TimeoutError("ip timed out after 5 s"), None, "timeout"),
        (ChildProcessError("ip exited with status 1: what"), None, "failed"),
        (IsADirectoryError(21, "Is a directory", "/x"), "/x: Is a directory", "failed"),
        (KeyError("mtu"), "KeyError: 'mtu'", "failed"),
        (OSError("x" * 200_000), "x" * 500, "failed"),
    ],
)
def test_a_group_that_fails_has_a_reason_and_a_kind(
    error: Exception, reason: str | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(hardware, "memory", fail)
    unread: Any = probe.probe(REQUEST)["unread"]
    assert unread["memory"] == {"reason": reason or str(error), "kind": kind}


def test_a_program_that_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    facts: Any = probe.probe(REQUEST)
    absent = {"reason": "ip: No such file or directory", "kind": "absent"}
    assert facts["unread"]["net"] == absent
    assert facts["gpu"]["gpu_error"] == "nvidia-smi: No such file or directory"


def test_a_mount_that_hangs_is_one_disk_without_numbers(
    hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = system._disk

    def disk(text: str) -> Any:
        return hang.wait() if text == "/models" else real(text)

    monkeypatch.setattr(system, "DISK_SECONDS", 0.2)
    monkeypatch.setattr(system, "_disk", disk)
    found = system.disks("/models")
    assert found["model"] == {"path": "/models", "free": None, "total": None}
    assert found["logs"]["free"] is not None


def test_a_sudo_that_hangs_is_ended_and_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, "sudo", monkeypatch)
    monkeypatch.setattr(system, "SUDO_SECONDS", 0.2)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    started: list[subprocesses.Started] = []

    def start(argv: list[str]) -> subprocesses.Started:
        started.append(subprocesses.start(argv))
        return started[-1]

    monkeypatch.setattr(system, "start", start)
    with pytest.raises(TimeoutError, match=r"sudo timed out after 0\.2 s"):
        system.sudo()
    assert isinstance(started[0].process, subprocess.Popen)
    assert started[0].process.wait(timeout=10) < 0


def test_without_ip_the_interfaces_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OSError, match="ip: No such file"):
        hardware.interfaces(subprocesses.start(["ip", "-json", "address", "show"]))


def test_a_ping_that_cannot_be_started_has_that_as_its_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ping: Any = {"to": "spark-2", "interface": "lo", "address": "127.0.0.1", "size": 56}
    found = peers.peers({"pings": [ping], "connects": []})["pings"]
    assert found[0]["problem"] == "ping: No such file or directory"


def test_only_a_connection_that_is_refused_is_refused() -> None:
    with socket.socket() as bound, socket.create_server(("127.0.0.1", 0)) as listening:
        bound.bind(("127.0.0.1", 0))
        ports = (bound.getsockname()[1], listening.getsockname()[1])
        connects: Any = [{"to": "b", "what": "x", "address": "127.0.0.1", "port": p} for p in ports]
        connects.append({**connects[0], "address": "255.255.255.255"})
        found = peers.peers({"pings": [], "connects": connects})["connects"]
    assert [(c["refused"], c["error"] is None) for c in found] == [
        (True, False),
        (False, True),
        (False, False),
    ]
