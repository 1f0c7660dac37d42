"""What this machine has for a support bundle: the logs of the last runs, and versions."""

from __future__ import annotations

import locale
import platform
import re
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING

from sparkctl import __version__, kept
from sparkctl.operations.support.excerpt import of_file
from sparkctl.remote.fanout import each
from sparkctl.remote.sshconfig import resolve

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.inventory.models import Inventory
    from sparkctl.operations.support.excerpt import Excerpt

# What Connection logs first of a node (remote/connection.py), after the time.
CONNECTING = re.compile(
    r"^\S+ \S+ (\S+): connecting: (?!(?:ended|failed) after )(.+)$", re.MULTILINE
)
KINDS = ("*.run.log", "*.traceback")  # output/runlog.py, output/failure.py
PACKAGES = ("click", "cryptography", "jinja2", "paramiko", "pydantic", "PyYAML", "rich")


def run_logs(known: Collection[tuple[str, str]]) -> tuple[dict[str, Excerpt], dict[str, str]]:
    """The logs of the last runs and tracebacks by name, the oldest first; and those that could not
    be read, with the reason. A run that connected to other nodes than those `known`, by name and
    host, is left out too: it was about another inventory, whose names cannot be masked.
    """
    found: dict[str, Excerpt] = {}
    errors: dict[str, str] = {}
    try:
        where = kept.folder()
        paths = [path for kind in KINDS for path in sorted(where.glob(kind))[-kept.LAST :]]
    except OSError as error:
        return {}, {"*": error.strerror or str(error)}
    for path in paths:
        try:
            log = of_file(path)
        except OSError as error:
            errors[path.name] = error.strerror or str(error)
            continue
        if {*CONNECTING.findall(f"{log.begin}\n{log.end}")} <= {*known}:
            found[path.name] = log
        else:
            errors[path.name] = "it is of another inventory"
    return found, errors


def versions() -> dict[str, object]:
    """Of sparkctl, Python, the system and the packages that sparkctl uses; no name of the host."""
    return {
        "sparkctl": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "machine": platform.machine(),
        "encoding": locale.getpreferredencoding(do_setlocale=False),
        "utc_offset": time.strftime("%z"),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def routes(inventory: Inventory) -> dict[str, tuple[str, set[str]]]:
    """The user and the hosts by which SSH reaches each node, as ~/.ssh/config has them; none of a
    node where ssh refuses it.
    """
    found = each(
        inventory.nodes, lambda n: resolve(n.host, inventory.ssh_of(n)), key=lambda n: n.name
    )
    return {
        name: (target.user, {target.host, *(_hop_host(hop) for hop in target.proxy_jump)})
        for name, target in found.ok.items()
    }


def _hop_host(hop: str) -> str:
    """The host of user@host:port."""
    return hop.rpartition("@")[2].rsplit(":", 1)[0].strip("[]")
