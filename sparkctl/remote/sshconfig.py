"""How ssh(1) itself would reach a host: `ssh -G` resolves Host, Match, Include and tokens.

Where there is no ssh program, paramiko's own reader of ~/.ssh/config stands in; it knows no
`Match exec` beyond its own rules, and not the system's /etc/ssh/ssh_config.
"""

from __future__ import annotations

import getpass
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.inventory.models import Ssh

ASK_TIMEOUT = 20  # seconds for `ssh -G`; a `Match exec` may take its time
DEFAULT_KEYS = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")


@dataclass(frozen=True)
class Target:
    """Everything that a connection needs to know of a host; the names are ssh_config(5)'s."""

    host: str
    user: str
    port: int
    identity_files: tuple[str, ...]  # `ssh -G` lists the default ones even where absent
    identities_only: bool
    identity_agent: str | None  # None: $SSH_AUTH_SOCK; "none": no agent
    known_hosts: tuple[str, ...]  # the first is where new keys are written
    host_key_alias: str | None
    hash_known_hosts: bool
    proxy_jump: tuple[str, ...]
    proxy_command: str | None
    accept_new: bool
    connect_timeout: float  # seconds

    @property
    def known_as(self) -> str:
        """The name under which known_hosts has the host (sshd(8), SSH_KNOWN_HOSTS)."""
        if self.host_key_alias:
            return self.host_key_alias
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def resolve(host: str, ssh: Ssh) -> Target:
    """Ask `ssh -G` about a host; the inventory's values win over ~/.ssh/config.

    Raises ConnectError when ssh refuses the configuration or does not answer.
    """
    argv = ["ssh", "-G"]
    argv += ["-p", str(ssh.port)] if ssh.port else []
    argv += ["-l", ssh.user] if ssh.user else []
    try:
        done = subprocess.run(
            [*argv, "--", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return make_target(host, _without_ssh(host), ssh)
    except subprocess.TimeoutExpired:
        raise ConnectError(
            f"`ssh -G {host}` should print its settings, it did not end within {ASK_TIMEOUT} s",
            hint="a `Match exec` in ~/.ssh/config may hang: try that command by hand",
        ) from None
    if done.returncode:
        raise ConnectError(
            f"`ssh -G {host}` should print its settings, it failed: {done.stderr.strip()}",
            hint="correct ~/.ssh/config (or /etc/ssh/ssh_config) where it says",
        )
    return make_target(host, parse(done.stdout), ssh)


def parse(printed: str) -> dict[str, list[str]]:
    """What `ssh -G` printed, by keyword in lower case; a keyword may come several times."""
    values: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name.lower(), []).append(value)
    return values


def make_target(host: str, values: Mapping[str, list[str]], ssh: Ssh) -> Target:
    """The target from ssh's values, with the inventory's over them."""

    def first(name: str, default: str = "") -> str:
        return values.get(name, [default])[0]

    def given(name: str) -> str | None:
        return None if first(name, "none") in ("none", "") else first(name)

    files = [ssh.identity_file] if ssh.identity_file else values.get("identityfile", [])
    known = [ssh.known_hosts] if ssh.known_hosts else _paths(first("userknownhostsfile"))
    known += _paths(first("globalknownhostsfile"))
    user, port = ssh.user or first("user"), ssh.port or int(first("port", "22"))
    tokens = {
        "d": str(Path.home()),
        "h": first("hostname", host),
        "k": given("hostkeyalias") or host,
        "n": host,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }
    command = given("proxycommand")
    timeout = ssh.connect_timeout
    if "connect_timeout" not in ssh.model_fields_set and first("connecttimeout").isdigit():
        timeout = float(first("connecttimeout"))
    return Target(
        host=first("hostname", host),
        user=user,
        port=port,
        identity_files=tuple(_expand_tokens(f, tokens) for f in files if f != "none"),
        identities_only=bool(ssh.identity_file) or first("identitiesonly") == "yes",
        identity_agent=_agent(first("identityagent")),
        known_hosts=tuple(known),
        host_key_alias=given("hostkeyalias"),
        hash_known_hosts=first("hashknownhosts") == "yes",
        proxy_jump=tuple((given("proxyjump") or "").split(",")) if given("proxyjump") else (),
        proxy_command=_expand_tokens(command, tokens) if command else None,
        accept_new=ssh.host_keys == "accept-new",
        connect_timeout=timeout,
    )


def _without_ssh(host: str) -> dict[str, list[str]]:
    """The same values by paramiko's SSHConfig, with ssh's defaults under them."""
    import paramiko

    path = Path.home() / ".ssh" / "config"
    config = paramiko.SSHConfig.from_path(str(path)) if path.is_file() else paramiko.SSHConfig()
    values = {
        "user": [getpass.getuser()],
        "identityfile": list(DEFAULT_KEYS),
        "userknownhostsfile": [str(path.parent / "known_hosts")],
        "globalknownhostsfile": ["/etc/ssh/ssh_known_hosts"],
    }
    try:
        found = config.lookup(host)
    except ImportError as error:
        raise ConnectError(
            f"{path} has a `Match exec`, which ssh itself would run, and there is no ssh program",
            hint="install OpenSSH's client",
        ) from error
    for name, value in found.items():
        values[name] = value if isinstance(value, list) else [value]
    return values


def _paths(printed: str) -> list[str]:
    """Several paths on one line: `ssh -G` does not quote the spaces within them."""
    return [] if printed in ("", "none") else re.split(r" +(?=[/~])", printed)


def _agent(value: str) -> str | None:
    if value in ("", "SSH_AUTH_SOCK"):
        return None
    return os.environ.get(value[1:], "none") if value.startswith("$") else value


def _expand_tokens(text: str, tokens: Mapping[str, str]) -> str:
    """Percent tokens, which `ssh -G` leaves in ProxyCommand and IdentityFile (ssh_config(5))."""
    return re.sub(
        r"%(.)", lambda m: "%" if m[1] == "%" else tokens.get(m[1], m[0]), text, flags=re.S
    )


def expand(path: str) -> Path:
    """A path of ssh_config or the inventory with its ~."""
    return Path(path).expanduser()
