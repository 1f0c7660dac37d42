"""The keys to offer to a server: identity files and the agent's, matched as ssh(1) does."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING

import paramiko
from paramiko.agent import AgentKey, AgentSSH

from sparkctl.remote.sshconfig import Target, expand

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

# macOS's agent has a key of the keychain after this alone; Apple's ssh takes it there itself.
ADD = "ssh-add --apple-use-keychain" if sys.platform == "darwin" else "ssh-add"
MAGIC = b"openssh-key-v1\0"


class _Agent(AgentSSH):
    """An agent at a socket that need not be $SSH_AUTH_SOCK (IdentityAgent)."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
            # The stubs leave it out; paramiko.Agent itself is made of this.
            self._connect(connection)  # type: ignore[attr-defined]
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]  # as above


def offers(target: Target, skipped: list[str]) -> Generator[tuple[str, paramiko.PKey], None, None]:
    """The keys to offer, each with a name for messages: identity files first, then the agent's.

    A file whose key the agent has is offered through the agent, so that an encrypted one works.
    What cannot be offered is added to `skipped` with the reason.
    """
    with contextlib.ExitStack() as stack:
        agent = _open_agent(target, skipped)
        held: dict[bytes, AgentKey] = {}
        if agent:
            stack.callback(agent.close)
            held = {key.blob: key for key in agent.get_keys()}
        for path in map(expand, target.identity_files):
            key = held.pop(_public(path) or b"", None)
            if key:
                yield f"{path} (by the agent)", key
            elif path.is_file():
                yield from _from_file(path, skipped)
            elif target.identities_only:
                skipped.append(f"{path} (no such file)")
        if not target.identities_only:
            for key in held.values():
                yield f"agent key {key.comment or key.get_name()}", key


def _open_agent(target: Target, skipped: list[str]) -> _Agent | None:
    path = target.identity_agent or os.environ.get("SSH_AUTH_SOCK", "")
    if path in ("", "none"):
        return None
    try:
        return _Agent(path)
    except (OSError, paramiko.SSHException) as error:
        skipped.append(f"the agent at {path} ({error})")
        return None


def _from_file(path: Path, skipped: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    try:
        yield str(path), paramiko.PKey.from_path(str(path))
    except (paramiko.PasswordRequiredException, TypeError):  # TypeError: cryptography says so
        skipped.append(f"{path} (needs a passphrase: run `{ADD} {path}`)")
    except (OSError, ValueError, paramiko.SSHException) as error:
        skipped.append(f"{path} (unreadable: {error})")
    except Exception as error:  # paramiko.UnknownKeyType does not share a base with the others
        skipped.append(f"{path} (unknown format: {error})")


def _public(path: Path) -> bytes | None:
    """The public key of an identity file, without its passphrase: from PATH.pub or PATH."""
    for candidate in (path.with_name(path.name + ".pub"), path):
        with contextlib.suppress(OSError, ValueError, IndexError, paramiko.SSHException):
            text = candidate.read_text()
            if text.startswith("-----BEGIN OPENSSH"):
                return _from_private("".join(text.strip().splitlines()[1:-1]))
            if not text.startswith("-----"):
                return base64.b64decode(text.split()[1])
    return None


def _from_private(body: str) -> bytes | None:
    """The public key, which openssh-key-v1 has in clear (OpenSSH, PROTOCOL.key)."""
    data = base64.b64decode(body)
    if not data.startswith(MAGIC):
        return None
    message = paramiko.Message(data[len(MAGIC) :])
    for _ in ("cipher", "kdf", "kdf options"):
        message.get_binary()
    message.get_int()  # the number of keys, always 1
    return message.get_binary()
