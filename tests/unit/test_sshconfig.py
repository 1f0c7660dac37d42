"""Resolving a host: what ssh -G prints, the real ssh, and its absence."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from sparkctl.errors import ConnectError
from sparkctl.inventory.models import Ssh
from sparkctl.remote import jump_hosts as routes
from sparkctl.remote.sshconfig import Target, make_target, parse, resolve

if TYPE_CHECKING:
    from pathlib import Path

PRINTED = """\
host spark-a
user tom
hostname spark-a.local
port 22
hashknownhosts yes
identitiesonly no
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ed25519
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile /home/tom/known hosts /home/tom/.ssh/known_hosts2
connecttimeout none
proxyjump none
"""


def made(printed: str = PRINTED, **ssh: object) -> Target:
    return make_target("spark-a", parse(printed), Ssh.model_validate(ssh))


def test_values_of_ssh_are_taken() -> None:
    target = made()
    assert (target.host, target.user, target.port) == ("spark-a.local", "tom", 22)
    assert target.identity_files == ("~/.ssh/id_rsa", "~/.ssh/id_ed25519")
    assert target.hash_known_hosts
    assert not target.identities_only
    assert target.proxy_jump == ()
    assert target.proxy_command is None
    assert target.connect_timeout == 10.0


def test_a_known_hosts_path_with_a_space_is_one_path() -> None:
    assert made().known_hosts == (
        "/home/tom/known hosts",
        "/home/tom/.ssh/known_hosts2",
        "/etc/ssh/ssh_known_hosts",
        "/etc/ssh/ssh_known_hosts2",
    )
    assert made("userknownhostsfile none\n").known_hosts == ()


def test_the_inventory_wins() -> None:
    target = made(user="eve", port=2222, identity_file="~/key", known_hosts="/k", connect_timeout=3)
    assert (target.user, target.port) == ("eve", 2222)
    assert (target.identity_files, target.identities_only) == (("~/key",), True)
    assert target.known_hosts[0] == "/k"
    assert "/home/tom/known hosts" not in target.known_hosts
    assert target.connect_timeout == 3


def test_connect_timeout_of_ssh_config_holds_where_the_inventory_has_none() -> None:
    printed = PRINTED.replace("connecttimeout none", "connecttimeout 7")
    assert made(printed).connect_timeout == 7
    assert made(printed, connect_timeout=3.0).connect_timeout == 3


@pytest.mark.parametrize(
    ("extra", "ssh", "name"),
    [
        ("", {}, "spark-a.local"),
        ("", {"port": 2222}, "[spark-a.local]:2222"),
        ("hostkeyalias the-spark\n", {"port": 2222}, "the-spark"),
    ],
)
def test_the_name_in_known_hosts(extra: str, ssh: dict[str, object], name: str) -> None:
    assert made(PRINTED + extra, **ssh).known_as == name


def test_tokens_are_expanded_where_ssh_leaves_them() -> None:
    printed = PRINTED + "proxycommand nc -x %n%% %h %p # %r\nidentityfile /keys/%r@%h\n"
    target = made(printed, port=22022)
    assert target.proxy_command == "nc -x spark-a% spark-a.local 22022 # tom"
    assert target.identity_files[-1] == "/keys/tom@spark-a.local"


def test_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_AGENT", "/run/mine")
    assert made().identity_agent is None
    assert made(PRINTED + "identityagent SSH_AUTH_SOCK\n").identity_agent is None
    assert made(PRINTED + "identityagent none\n").identity_agent == "none"
    assert made(PRINTED + "identityagent $MY_AGENT\n").identity_agent == "/run/mine"


@pytest.fixture
def ssh_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a program named ssh, first in PATH, has the real one read."""
    real = shutil.which("ssh")
    assert real, "the tests need the OpenSSH client"
    config, wrapper = tmp_path / "config", tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {real} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(wrapper.parent), prepend=":")
    return config


def test_the_real_ssh_is_asked(ssh_config: Path) -> None:
    ssh_config.write_text(
        "Host spark\n HostName 10.0.0.9\n User tom\n Port 2022\n IdentityFile /k\n"
    )
    target = resolve("spark", Ssh())
    assert (target.host, target.user, target.port) == ("10.0.0.9", "tom", 2022)
    assert target.identity_files == ("/k",)
    assert resolve("spark", Ssh(user="eve", port=22)).known_as == "10.0.0.9"


def test_a_wrong_configuration_is_an_error_in_the_words_of_ssh(ssh_config: Path) -> None:
    ssh_config.write_text("Host *\n Prot 22\n")
    with pytest.raises(ConnectError, match="line 2: Bad configuration option: prot") as caught:
        resolve("spark", Ssh())
    assert caught.value.code == "ssh-config"


def test_jump_hosts_in_order_with_the_first_ones_own(ssh_config: Path) -> None:
    ssh_config.write_text(
        "Host spark\n ProxyJump tom@door:2222,[::1]:2022\n"
        "Host door\n HostName 10.0.0.1\n ProxyJump gate\n"
        "Host gate\n ProxyCommand nc %h %p\n"
    )
    ssh = Ssh(user="me", port=22022, known_hosts="/known", host_keys="accept-new")
    hops = routes.route("spark", ssh)
    assert [(h.host, h.port) for h in hops] == [
        ("gate", 22),
        ("10.0.0.1", 2222),
        ("::1", 2022),
        ("spark", 22022),
    ]
    assert hops[0].proxy_command == "nc gate 22"
    assert (hops[1].user, hops[-1].user) == ("tom", "me")
    assert all(h.known_hosts[0] == "/known" and h.accept_new for h in hops)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("Host a\n ProxyJump b\nHost b\n ProxyJump a\n", "proxy-jump-loop"),
        ("Host a\n ProxyJump ssh://u@[::1]:22/x\n", "ssh-config"),  # ssh itself refuses it
    ],
)
def test_jump_hosts_that_lead_nowhere_are_an_error(
    ssh_config: Path, config: str, code: str
) -> None:
    ssh_config.write_text(config)
    with pytest.raises(ConnectError) as caught:
        routes.route("a", Ssh())
    assert caught.value.code == code


def test_without_an_ssh_program_paramiko_reads_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(
        "Host spark\n HostName 10.0.0.9\n Port 2022\n IdentityFile /k\n ProxyJump door\n"
    )
    target = resolve("spark", Ssh(user="eve"))
    assert (target.host, target.user, target.port) == ("10.0.0.9", "eve", 2022)
    assert (target.identity_files, target.proxy_jump) == (("/k",), ("door",))
    assert target.known_hosts[0] == str(tmp_path / ".ssh/known_hosts")
    assert resolve("other", Ssh()).identity_files[-1] == "~/.ssh/id_ed25519"


def test_a_jump_host_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host spark\n ProxyJump a:b:c\n")
    with pytest.raises(ConnectError) as caught:
        routes.route("spark", Ssh())
    assert (caught.value.code, caught.value.data) == ("proxy-jump", {"value": "a:b:c"})


def test_a_match_exec_needs_the_ssh_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    # As the program has it, which keeps paramiko from importing invoke.
    monkeypatch.setattr("paramiko.config.invoke", None)
    monkeypatch.setattr("paramiko.config.invoke_import_error", ImportError("invoke"))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Match exec true\n Port 2022\n")
    with pytest.raises(ConnectError) as caught:
        resolve("spark", Ssh())
    assert caught.value.code == "ssh-missing"
