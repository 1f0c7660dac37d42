"""How ssh(1) itself would reach a host: `ssh -G` resolves Host, Match, Include and tokens."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sparkctl.errors import ConnectError
from sparkctl.inventory.models import Ssh


@dataclass(frozen=True)
class Target:
    """Everything that a connection needs to know of a host."""

    host: str
    user: str
    port: int
    identity_files: tuple[str, ...]
    identities_only: bool
    known_hosts: tuple[str, ...]  # the first is where new keys are written
    host_key_alias: str | None
    hash_known_hosts: bool
    proxy_jump: tuple[str, ...]
    proxy_command: str | None

    @property
    def known_as(self) -> str:
        """The name under which known_hosts has the host (sshd(8), SSH_KNOWN_HOSTS)."""
        if self.host_key_alias:
            return self.host_key_alias
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def resolve(host: str, ssh: Ssh) -> Target:
    """Ask `ssh -G` about a host; the inventory's values win over ~/.ssh/config.

    Raises ConnectError when ssh is not installed or refuses the configuration.
    """
    argv = ["ssh", "-G"]
    argv += ["-p", str(ssh.port)] if ssh.port else []
    argv += ["-l", ssh.user] if ssh.user else []
    try:
        done = subprocess.run(
            [*argv, "--", host], capture_output=True, text=True, timeout=20, check=False
        )
    except FileNotFoundError:
        raise ConnectError(
            "the ssh program is needed to read ~/.ssh/config as ssh(1) does, it is not installed",
            hint="install the OpenSSH client",
        ) from None
    except subprocess.TimeoutExpired:
        raise ConnectError(
            "`ssh -G` did not answer within 20 s", hint="a Match exec in ~/.ssh/config may hang"
        ) from None
    if done.returncode:
        raise ConnectError(
            f"`ssh -G {host}` failed: {done.stderr.strip()}", hint="correct ~/.ssh/config"
        )
    return parse(done.stdout, ssh)


def parse(printed: str, ssh: Ssh) -> Target:
    """What `ssh -G` printed, with the inventory's identity_file and known_hosts over it."""
    values: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name.lower(), []).append(value)

    def first(name: str, default: str = "") -> str:
        return values.get(name, [default])[0]

    def given(name: str) -> str | None:
        return None if first(name, "none") in ("none", "") else first(name)

    known = first("userknownhostsfile", "~/.ssh/known_hosts").split()
    known += first("globalknownhostsfile", "/etc/ssh/ssh_known_hosts").split()
    return Target(
        host=first("hostname"),
        user=first("user"),
        port=int(first("port", "22")),
        identity_files=(ssh.identity_file,)
        if ssh.identity_file
        else tuple(values.get("identityfile", [])),
        identities_only=bool(ssh.identity_file) or first("identitiesonly") == "yes",
        known_hosts=(ssh.known_hosts,) if ssh.known_hosts else tuple(known),
        host_key_alias=given("hostkeyalias"),
        hash_known_hosts=first("hashknownhosts") == "yes",
        proxy_jump=tuple((given("proxyjump") or "").split(",")) if given("proxyjump") else (),
        proxy_command=given("proxycommand"),
    )


def expand(path: str) -> Path:
    """A path of ssh_config with its ~ and without quotes."""
    return Path(path.strip('"')).expanduser()
