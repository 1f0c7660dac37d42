"""How ssh(1) would reach a host: `ssh -G` resolves Host, Match, Include and tokens.

Without an ssh program paramiko reads ~/.ssh/config; it supports no `Match exec` beyond its own
rules, and does not read /etc/ssh/ssh_config.
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

RESOLVE_TIMEOUT = 20  # seconds for `ssh -G`; a `Match exec` may be slow
DEFAULT_KEYS = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")


@dataclass(frozen=True)
class Target:
    """All settings of a connection to a host; the names are those of ssh_config(5)."""

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
    """A host's settings by `ssh -G`; the inventory's override those of ~/.ssh/config.

    Raises ConnectError when ssh refuses the configuration or times out.
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
            timeout=RESOLVE_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return make_target(host, _without_ssh(host), ssh)
    except subprocess.TimeoutExpired:
        raise ConnectError(
            f"`ssh -G {host}` timed out after {RESOLVE_TIMEOUT} s",
            hint="a `Match exec` in ~/.ssh/config may hang: try that command by hand",
            code="ssh-config-timeout",
            data={"host": host, "seconds": RESOLVE_TIMEOUT},
        ) from None
    if done.returncode:
        apple = "usekeychain" in done.stderr.lower()  # an option that only Apple's ssh knows
        raise ConnectError(
            f"`ssh -G {host}` failed: {done.stderr.strip()}",
            hint="put `IgnoreUnknown UseKeychain` above UseKeychain in ~/.ssh/config"
            if apple
            else "correct ~/.ssh/config or /etc/ssh/ssh_config",
            code="ssh-config",
            data={"host": host, "stderr": done.stderr},
        )
    return make_target(host, parse(done.stdout), ssh)


def parse(printed: str) -> dict[str, list[str]]:
    """The output of `ssh -G` by keyword in lower case; a keyword may occur several times."""
    values: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name.lower(), []).append(value)
    return values


def make_target(host: str, values: Mapping[str, list[str]], ssh: Ssh) -> Target:
    """The target by ssh's values, overridden by the inventory's."""
    name = _first(values, "hostname") or host
    user = ssh.user or _first(values, "user")
    port = ssh.port or int(_first(values, "port") or 22)
    alias = _given(values, "hostkeyalias")
    tokens = {
        "d": str(Path.home()),
        "h": name,
        "k": alias or host,
        "n": host,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }
    identities = [ssh.identity_file] if ssh.identity_file else values.get("identityfile", [])
    command, jump = _given(values, "proxycommand"), _given(values, "proxyjump")
    return Target(
        host=name,
        user=user,
        port=port,
        identity_files=tuple(_expand_tokens(f, tokens) for f in identities if f != "none"),
        identities_only=bool(ssh.identity_file) or _first(values, "identitiesonly") == "yes",
        identity_agent=_agent(_first(values, "identityagent")),
        known_hosts=tuple(_known_hosts(values, ssh)),
        host_key_alias=alias,
        hash_known_hosts=_first(values, "hashknownhosts") == "yes",
        proxy_jump=tuple(jump.split(",")) if jump else (),
        proxy_command=_expand_tokens(command, tokens) if command else None,
        accept_new=ssh.host_keys == "accept-new",
        connect_timeout=_connect_timeout(values, ssh),
    )


def _first(values: Mapping[str, list[str]], name: str) -> str:
    return values.get(name, [""])[0]


def _given(values: Mapping[str, list[str]], name: str) -> str | None:
    value = _first(values, name)
    return None if value in ("none", "") else value


def _known_hosts(values: Mapping[str, list[str]], ssh: Ssh) -> list[str]:
    own = [ssh.known_hosts] if ssh.known_hosts else _paths(_first(values, "userknownhostsfile"))
    return own + _paths(_first(values, "globalknownhostsfile"))


def _connect_timeout(values: Mapping[str, list[str]], ssh: Ssh) -> float:
    configured = _first(values, "connecttimeout")
    overridden = "connect_timeout" in ssh.model_fields_set or not configured.isdigit()
    return ssh.connect_timeout if overridden else float(configured)


def _without_ssh(host: str) -> dict[str, list[str]]:
    """The same values by paramiko's SSHConfig, and ssh's defaults."""
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
            f"cannot resolve the `Match exec` in {path} without an ssh program",
            hint="install the OpenSSH client",
            code="ssh-missing",
            data={"file": str(path)},
        ) from error
    for name, value in found.items():
        values[name] = value if isinstance(value, list) else [value]
    return values


def _paths(printed: str) -> list[str]:
    """Several paths on one line: `ssh -G` does not quote spaces in a path."""
    return [] if printed in ("", "none") else re.split(r" +(?=[/~])", printed)


def _agent(value: str) -> str | None:
    if value in ("", "SSH_AUTH_SOCK"):
        return None
    return os.environ.get(value[1:], "none") if value.startswith("$") else value


def _expand_tokens(text: str, tokens: Mapping[str, str]) -> str:
    """Expand percent tokens, which `ssh -G` leaves in ProxyCommand and IdentityFile."""
    return re.sub(
        r"%(.)", lambda m: "%" if m[1] == "%" else tokens.get(m[1], m[0]), text, flags=re.S
    )


def expand(path: str) -> Path:
    """A path of ssh_config or the inventory with ~ expanded."""
    return Path(path).expanduser()
