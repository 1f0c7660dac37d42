"""Another user of this machine, with the same account on the nodes."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.cluster import Cluster

UID = pwd.getpwnam("nobody").pw_uid  # ssh(1) needs an account
# The tests' code may lie where only root can read it.
READS_ALL = "+dac_read_search"


@contextmanager
def other_user(cluster: Cluster) -> Iterator[Cluster]:
    """The same cluster as another user would run it: from another folder, with a home, a state, an
    inventory and a key of their own.
    """
    # Not below pytest's own folder, which it makes root's alone again and again.
    home = Path(tempfile.mkdtemp(prefix="sparkctl-user-"))
    try:
        yield _in(home, cluster)
    finally:
        shutil.rmtree(home)


def _in(home: Path, cluster: Cluster) -> Cluster:
    value = yaml.safe_load(cluster.inventory.read_text())
    for name in ("identity_file", "known_hosts"):
        own = home / name
        shutil.copy(value["ssh"][name], own)
        value["ssh"][name] = str(own)
    inventory = home / "inventory.yaml"
    inventory.write_text(yaml.safe_dump(value))
    for path in (home, *home.iterdir()):
        os.chown(path, UID, UID)
    as_user = ("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups")
    caps = ("--inh-caps", READS_ALL, "--ambient-caps", READS_ALL)
    xdg = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
    return replace(
        cluster,
        inventory=inventory,
        program=(*as_user, *caps, *cluster.program),
        variables={**cluster.variables, **xdg, "HOME": str(home), "LOGNAME": "ben", "USER": "ben"},
        folder=home,
    )
