"""Commands over a real sshd: streams, bounds, host keys, jump hosts."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sparkctl.errors import (
    AuthError,
    ConnectError,
    HostKeyError,
    RemoteTimeout,
    SparkctlError,
)
from sparkctl.remote.command import Command
from sparkctl.remote.connection import connect
from tests.lab.conftest import Sshd, free_port, keygen

pytestmark = pytest.mark.lab
HOST = "127.0.0.1"
MEGABYTES = 10
BOTH = (
    f"import sys; sys.stderr.write('e'*{MEGABYTES}000000); sys.stdout.write('o'*{MEGABYTES}000000)"
)


def test_status_and_both_streams_come_back(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("sh", "-c", "echo out; echo err >&2; exit 7")))
        assert (result.status, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


def test_awkward_arguments_arrive_as_they_are(sshd: Sshd) -> None:
    awkward = ("a b", "$HOME", "`id`", "'", '"', "; rm", "*", "", "\\", "new\nline", "ü")
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("printf", "%s\\0", *awkward)))
    assert result.stdout.decode().split("\0")[:-1] == list(awkward)


def test_both_streams_full_do_not_deadlock(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        result = node.run(Command(("python3", "-c", BOTH), timeout=60))
    assert (len(result.stdout), len(result.stderr)) == (MEGABYTES * 10**6,) * 2


def test_a_large_stdin_comes_back_through_cat(sshd: Sshd) -> None:
    data = os.urandom(5_000_000)
    with connect("n", HOST, sshd.ssh()) as node:
        assert node.run(Command(("cat",), stdin=data)).stdout == data


def test_a_bound_ends_the_process_on_the_node(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        marker = f"{3000 + os.getpid() / 1e6:.6f}"
        with pytest.raises(RemoteTimeout, match=r"waiting was ended after 0\.5 s"):
            node.run(Command(("sleep", marker), timeout=0.5, title="waiting"))
        found = subprocess.run(["pgrep", "-f", f"^sleep {marker}"], check=False)
        assert found.returncode == 1


def test_many_channels_at_once(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node, ThreadPoolExecutor(16) as pool:
        results = pool.map(lambda n: node.run(Command(("echo", str(n)))).stdout, range(32))
        assert [int(r) for r in results] == list(range(32))


def test_a_stream_gives_lines_as_they_come_and_ends_with_its_stdin(sshd: Sshd) -> None:
    command = Command(("sh", "-c", "echo $$; cat; echo never-read"), stdin=b"hello\n", timeout=99)
    with connect("n", HOST, sshd.ssh()) as node:
        with node.stream(command, timeout=0.2) as lines:
            pid = int(next(lines) or 0)
            assert next(lines) == "hello"
            assert next(lines) is None
        deadline = time.monotonic() + 5
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_read_only_refuses_what_mutates(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh(), read_only=True) as node:
        assert node.run(Command(("true",), mutates=False)).status == 0
        with pytest.raises(SparkctlError, match="refused"):
            node.run(Command(("true",)))


def test_a_wrong_key_is_told_with_what_was_offered(sshd: Sshd, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    with pytest.raises(AuthError, match="other") as caught:
        connect("n", HOST, sshd.ssh(identity_file=str(tmp_path / "other")))
    assert "ssh-copy-id" in (caught.value.hint or "")


def test_an_encrypted_key_is_told(sshd: Sshd) -> None:
    path = sshd.folder / "client"
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret-phrase", "-f", str(path)], check=True)
    with pytest.raises(AuthError, match="passphrase"):
        connect("n", HOST, sshd.ssh())


def test_an_unknown_host_is_refused_and_recorded_only_when_asked(sshd: Sshd) -> None:
    known = sshd.known_hosts.read_text()
    sshd.known_hosts.write_text("")
    with pytest.raises(HostKeyError, match="unknown"):
        connect("n", HOST, sshd.ssh())
    assert sshd.known_hosts.read_text() == ""
    connect("n", HOST, sshd.ssh(host_keys="accept-new")).close()
    assert sshd.known_hosts.read_text().split()[1:] == known.split()[1:]  # the name may be hashed
    connect("n", HOST, sshd.ssh()).close()


@pytest.mark.parametrize("policy", ["strict", "accept-new"])
def test_a_changed_host_key_is_fatal(sshd: Sshd, tmp_path: Path, policy: str) -> None:
    other = keygen(tmp_path / "evil").split()
    sshd.known_hosts.write_text(f"# mine\n[{HOST}]:{sshd.port} {other[0]} {other[1]}\n")
    with pytest.raises(HostKeyError, match="has changed") as caught:
        connect("n", HOST, sshd.ssh(host_keys=policy))
    assert f"{sshd.known_hosts}:2 has SHA256:" in str(caught.value)
    assert "ssh-keygen" in (caught.value.hint or "")


def test_hashed_known_hosts_and_another_kind_of_key_beside(sshd: Sshd, tmp_path: Path) -> None:
    rsa = keygen(tmp_path / "rsa", "rsa").split()
    with sshd.known_hosts.open("a") as file:
        file.write(f"[{HOST}]:{sshd.port} {rsa[0]} {rsa[1]}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(sshd.known_hosts)], check=True)
    connect("n", HOST, sshd.ssh()).close()


def test_a_revoked_key_is_fatal(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("@revoked " + sshd.known_hosts.read_text())
    with pytest.raises(HostKeyError, match="revoked"):
        connect("n", HOST, sshd.ssh())


def test_nobody_listens(sshd: Sshd) -> None:
    with pytest.raises(ConnectError, match="refused"):
        connect("n", HOST, sshd.ssh(port=free_port()))


def test_a_frozen_node_accepts_and_sends_no_banner(sshd: Sshd) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConnectError, match=r"no SSH session begins within 0\.5 s"):
            connect("n", HOST, sshd.ssh(port=port, connect_timeout=0.5))


def test_a_jump_host_of_ssh_config_is_taken(
    make_sshd: Callable[[str], Sshd], monkeypatch: pytest.MonkeyPatch
) -> None:
    jump, target = make_sshd("jump"), make_sshd("target")
    config = target.folder / "ssh_config"
    config.write_text(
        f"Host jump\n HostName {HOST}\n Port {jump.port}\n User root\n"
        f" IdentityFile {jump.folder}/client\n UserKnownHostsFile {jump.known_hosts}\n"
        f"Host spark\n HostName {HOST}\n Port {target.port}\n User root\n ProxyJump jump\n"
    )
    wrapper = target.folder / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    settings = target.ssh(user=None, port=None)
    with connect("n", "spark", settings) as node:
        result = node.run(Command(("sh", "-c", "echo $SSH_CONNECTION")))
    assert result.stdout.decode().split()[3] == str(target.port)
    jump.process.terminate()
    jump.process.wait()
    with pytest.raises(ConnectError):
        connect("n", "spark", settings)


def test_a_lost_connection_is_told(sshd: Sshd) -> None:
    with connect("n", HOST, sshd.ssh()) as node:
        session = int(node.run(Command(("sh", "-c", "ps -o ppid= -p $(ps -o ppid= -p $$)"))).stdout)
        with pytest.raises(ConnectError, match="connection lost while cutting"):
            node.run(Command(("kill", "-9", str(session)), title="cutting"))
