"""Logging in to a real sshd: keys, host keys, jump hosts, and what stands in the way."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.errors import RemoteError
from sparkctl.remote.command import Command
from sparkctl.remote.connection import connect
from tests.lab.conftest import Sshd, free_port, keygen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.inventory.models import Ssh

pytestmark = pytest.mark.lab
HOST = "127.0.0.1"
PHRASE = "secret-phrase"


def failure(settings: Ssh, host: str = HOST) -> RemoteError:
    """Why nobody can log in with these settings."""
    with pytest.raises(RemoteError) as caught:
        connect("n", host, settings)
    assert caught.value.node == "n"
    return caught.value


@pytest.fixture
def ssh_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a program named ssh, first in PATH, has the real one read."""
    real = shutil.which("ssh")
    config, wrapper = tmp_path / "config", tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {real} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(wrapper.parent), prepend=":")
    return config


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The socket of an agent of the test's own."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield path
    process.terminate()
    process.wait()


def add_and_encrypt(sshd: Sshd, agent: Path, tmp_path: Path) -> None:
    """Give the client's key to the agent; then encrypt its file and drop the public one."""
    key, environment = str(sshd.folder / "client"), os.environ | {"SSH_AUTH_SOCK": str(agent)}
    for number in range(8):  # more than sshd's MaxAuthTries, all before ours
        keygen(tmp_path / f"other{number}")
        argv = ["ssh-add", "-q", str(tmp_path / f"other{number}")]
        subprocess.run(argv, env=environment, check=True)
    subprocess.run(["ssh-add", "-q", key], env=environment, check=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", PHRASE, "-f", key], check=True)
    Path(f"{key}.pub").unlink()


def test_the_agent_holds_an_encrypted_key(
    sshd: Sshd, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_and_encrypt(sshd, agent, tmp_path)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    connect("n", HOST, sshd.ssh()).close()


def test_the_agent_of_ssh_config_is_asked(
    sshd: Sshd, agent: Path, tmp_path: Path, ssh_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_and_encrypt(sshd, agent, tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh_config.write_text("")
    assert failure(sshd.ssh()).code == "auth-failed"
    ssh_config.write_text(f"IdentityAgent {agent}\n")
    connect("n", HOST, sshd.ssh()).close()


def test_too_many_keys_end_the_connection(
    sshd: Sshd, agent: Path, tmp_path: Path, ssh_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_and_encrypt(sshd, agent, tmp_path)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    ssh_config.write_text("IdentityFile none\n")
    found = failure(sshd.ssh(identity_file=None))
    assert (found.code, found.data["closed"]) == ("auth-failed", True)


def test_a_missing_identity_file_is_skipped(sshd: Sshd) -> None:
    found = failure(sshd.ssh(identity_file="/nowhere/key"))
    assert (found.code, found.data["tried"]) == ("auth-failed", [])
    assert found.data["skipped"] == ["/nowhere/key (no such file)"]


def test_a_wrong_key_is_an_error_with_what_was_tried(sshd: Sshd, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    found = failure(sshd.ssh(identity_file=str(tmp_path / "other")))
    assert found.data["tried"] == [str(tmp_path / "other")]
    assert found.data["skipped"] == []
    # The text is the subject: it is what people search for.
    assert found.message == (
        f"SSH authentication failed for root@{HOST} port {sshd.port}; tried {tmp_path / 'other'}"
    )
    assert "ssh-copy-id" in (found.hint or "")


def test_an_encrypted_key_is_skipped_with_a_remedy(sshd: Sshd) -> None:
    path = sshd.folder / "client"
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret-phrase", "-f", str(path)], check=True)
    assert f"ssh-add {path}" in failure(sshd.ssh()).message


def test_a_server_that_takes_no_keys_is_named_with_what_it_takes(
    make_sshd: Callable[..., Sshd],
) -> None:
    more = "PubkeyAuthentication no\nKbdInteractiveAuthentication yes\n"
    found = failure(make_sshd("closed", more=more).ssh())
    assert (found.code, found.data["accepted"]) == ("auth-failed", ["keyboard-interactive"])


def test_an_unknown_host_is_refused_and_recorded_only_when_asked(sshd: Sshd) -> None:
    known = sshd.known_hosts.read_text()
    sshd.known_hosts.write_text("")
    assert failure(sshd.ssh()).code == "host-key-unknown"
    assert sshd.known_hosts.read_text() == ""
    connect("n", HOST, sshd.ssh(host_keys="accept-new")).close()
    assert sshd.known_hosts.read_text().split()[1:] == known.split()[1:]  # the name may be hashed
    connect("n", HOST, sshd.ssh()).close()


@pytest.mark.parametrize("policy", ["strict", "accept-new"])
def test_a_changed_host_key_is_fatal(sshd: Sshd, tmp_path: Path, policy: str) -> None:
    other = keygen(tmp_path / "evil").split()
    sshd.known_hosts.write_text(f"# mine\n[{HOST}]:{sshd.port} {other[0]} {other[1]}\n")
    found = failure(sshd.ssh(host_keys=policy))
    assert found.code == "host-key-changed"
    assert (found.data["file"], found.data["line"]) == (str(sshd.known_hosts), 2)
    assert "ssh-keygen" in (found.hint or "")


def test_hashed_known_hosts_and_another_kind_of_key_beside(sshd: Sshd, tmp_path: Path) -> None:
    rsa = keygen(tmp_path / "rsa", "rsa").split()
    with sshd.known_hosts.open("a") as file:
        file.write(f"[{HOST}]:{sshd.port} {rsa[0]} {rsa[1]}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(sshd.known_hosts)], check=True)
    connect("n", HOST, sshd.ssh()).close()


def test_a_revoked_key_is_fatal(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("@revoked " + sshd.known_hosts.read_text())
    assert failure(sshd.ssh()).code == "host-key-revoked"


def test_nobody_listens(sshd: Sshd) -> None:
    found = failure(sshd.ssh(port=(port := free_port())))
    assert (found.code, found.data["port"]) == ("connect-refused", port)


def test_a_frozen_node_accepts_and_sends_no_banner(sshd: Sshd) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert failure(sshd.ssh(port=port, connect_timeout=0.5)).code == "handshake-timeout"


def test_a_full_backlog_is_a_time_out(sshd: Sshd) -> None:
    """The kernel drops what exceeds a backlog, as a node that lost power answers nothing."""
    with socket.create_server((HOST, 0), backlog=0) as server, socket.socket() as first:
        first.connect(server.getsockname())
        settings = sshd.ssh(port=server.getsockname()[1], connect_timeout=0.5)
        assert failure(settings).code == "connect-timeout"


def test_what_is_no_sshd_fails_the_handshake(sshd: Sshd) -> None:
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            client.sendall(b"SSH-1.0-old\r\n")
            client.recv(1024)

        threading.Thread(target=answer, daemon=True).start()
        assert failure(sshd.ssh(port=server.getsockname()[1])).code == "handshake-failed"


@pytest.mark.parametrize("sent", [b"", b"SSH-2.0-x\r\n", b"Not allowed at this time\r\n"])
def test_a_connection_that_is_closed_at_once_is_no_time_out(sshd: Sshd, sent: bytes) -> None:
    with socket.create_server((HOST, 0)) as server:

        def refuse() -> None:
            client, _ = server.accept()
            client.sendall(sent)
            client.close()

        threading.Thread(target=refuse, daemon=True).start()
        assert failure(sshd.ssh(port=server.getsockname()[1])).code == "handshake-closed"


def test_a_name_that_nobody_knows(sshd: Sshd) -> None:
    found = failure(sshd.ssh(), "no-such-spark.invalid")
    assert (found.code, found.data["host"]) == ("name-unknown", "no-such-spark.invalid")


def test_only_an_rsa_key_is_recorded_of_a_host_that_has_two(
    make_sshd: Callable[..., Sshd],
) -> None:
    sshd = make_sshd("sshd", ("ed25519", "rsa"))
    rsa = sshd.known_hosts.read_text().splitlines()[1]
    assert "ssh-rsa" in rsa
    sshd.known_hosts.write_text(rsa + "\n")
    connect("n", HOST, sshd.ssh()).close()


def test_accept_new_completes_a_file_without_a_last_newline(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("other ssh-ed25519 AAAA")
    connect("n", HOST, sshd.ssh(host_keys="accept-new")).close()
    assert len(sshd.known_hosts.read_text().splitlines()) == 2


def test_paramiko_prints_nothing_of_its_own(sshd: Sshd) -> None:
    script = (
        "import sys; from sparkctl.errors import ConnectError\n"
        "from sparkctl.inventory.models import Ssh\n"
        "from sparkctl.remote.connection import connect\n"
        "ssh = Ssh.model_validate_json(sys.argv[1])\n"
        "try: connect('n', '127.0.0.1', ssh)\n"
        "except ConnectError: print('caught')"
    )
    with socket.create_server((HOST, 0)) as server:
        settings = sshd.ssh(port=server.getsockname()[1], connect_timeout=5.0).model_dump_json()
        argv = [sys.executable, "-c", script, settings]
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            server.settimeout(20)
            accepted, _ = server.accept()
            accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)
            accepted.close()
            assert process.communicate(timeout=20)[0] == "caught\n"


@pytest.fixture
def chain(make_sshd: Callable[..., Sshd], ssh_config: Path) -> tuple[Sshd, Sshd, Sshd]:
    """Two jump hosts and a target, as ~/.ssh/config would have them."""
    hops = [make_sshd(name) for name in ("one", "two")]
    target = make_sshd("target")
    blocks = [
        f"Host {name}\n HostName {HOST}\n Port {hop.port}\n User root\n"
        f" IdentityFile {hop.folder}/client\n UserKnownHostsFile {hop.known_hosts}\n"
        for name, hop in zip(("one", "two"), hops, strict=True)
    ]
    blocks.append(
        f"Host spark\n HostName {HOST}\n Port {target.port}\n User root\n ProxyJump one,two\n"
    )
    ssh_config.write_text("".join(blocks))
    return hops[0], hops[1], target


def test_a_chain_of_jump_hosts_is_taken(chain: tuple[Sshd, Sshd, Sshd]) -> None:
    one, two, target = chain
    settings = target.ssh(user=None, port=None)
    with connect("n", "spark", settings) as node:
        result = node.run(Command(("sh", "-c", "echo $SSH_CONNECTION")))
    assert result.stdout.decode().split()[3] == str(target.port)
    two.process.terminate()
    two.process.wait()
    found = failure(settings, "spark")
    assert (found.code, found.data["port"]) == ("jump-refused", two.port)
    one.process.terminate()
    one.process.wait()
    found = failure(settings, "spark")
    assert (found.code, found.data["port"]) == ("connect-refused", one.port)
    assert "the jump host " in found.message


def test_a_jump_hosts_key_is_checked_as_strictly(
    chain: tuple[Sshd, Sshd, Sshd], tmp_path: Path
) -> None:
    _, two, target = chain
    other = keygen(tmp_path / "evil").split()
    two.known_hosts.write_text(f"[{HOST}]:{two.port} {other[0]} {other[1]}\n")
    settings = target.ssh(user=None, port=None, host_keys="accept-new")
    assert failure(settings, "spark").code == "host-key-changed"


def test_a_proxy_command_is_taken_and_ended(sshd: Sshd, ssh_config: Path) -> None:
    note = sshd.folder / "pid"
    ssh_config.write_text(
        f"Host spark\n User root\n Port {sshd.port}\n HostName {HOST}\n"
        f" ProxyCommand sh -c 'echo $$ %h:%p > {note}; exec /usr/sbin/sshd -i -f"
        f" {sshd.folder}/config'\n"
    )
    with connect("n", "spark", sshd.ssh(user=None, port=None)) as node:
        data = os.urandom(3_000_000)
        assert node.run(Command(("cat",), stdin=data)).stdout == data
        pid, address = note.read_text().split()
    assert address == f"{HOST}:{sshd.port}"
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the ProxyCommand is still there"
        time.sleep(0.02)


def test_what_a_failing_proxy_command_says_is_in_the_error(sshd: Sshd, ssh_config: Path) -> None:
    ssh_config.write_text("ProxyCommand echo no way to %h >&2; exit 1\n")
    found = failure(sshd.ssh(), "spark")
    assert found.code == "proxy-command"
    assert "no way to spark" in found.message


def test_a_proxy_command_that_hangs_is_a_time_out(sshd: Sshd, ssh_config: Path) -> None:
    ssh_config.write_text("ProxyCommand sleep 100\n")
    assert failure(sshd.ssh(connect_timeout=1.0), "spark").code == "handshake-timeout"


def test_an_option_that_only_apples_ssh_knows(sshd: Sshd, ssh_config: Path) -> None:
    ssh_config.write_text("Host *\n  UseKeychain yes\n")
    error = failure(sshd.ssh())
    assert error.code == "ssh-config"
    assert "IgnoreUnknown UseKeychain" in (error.hint or "")
    ssh_config.write_text("IgnoreUnknown UseKeychain\nHost *\n  UseKeychain yes\n")
    connect("n", HOST, sshd.ssh()).close()
