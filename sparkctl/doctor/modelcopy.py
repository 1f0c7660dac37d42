"""How a node gets a whole copy of the model: from which other node, and by which address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.hostgroups import Checkpoint

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot

SSH_PORT = 22


def copy(snapshot: Snapshot, name: str, path: str) -> Remedy:
    """A copy to `path` on a node from one that has the model whole; the head's is preferred."""
    source = whole(snapshot, but=name)
    if source is None:
        return Remedy(
            f"no other node that was read has it whole: download it to {path} on {name}"
            f" (`hf download MODEL --local-dir {path}`), or set {snapshot.inventory.key}.model"
        )
    other, model = source
    host = _address(snapshot, name, other)
    login = f"{snapshot.facts(other).user}@{f'[{host}]' if ':' in host else host}"
    ssh = snapshot.inventory.ssh_of(snapshot.node(other))
    port = ("--rsh", f"ssh -p {ssh.port}") if ssh.port and ssh.port != SSH_PORT else ()
    # Links, as the hub's cache has them, would lead nowhere on this node. Before rsync 3.2.4 a
    # remote shell splits the path at spaces without --protect-args; since 3.2.3 there is --mkpath,
    # without which a node that lacks the folder of all models would get none.
    options = ("--archive", "--copy-links", "--checksum", "--protect-args", "--mkpath", *port)
    return Remedy(
        f"copy it from {other}, where it is whole: log in to {name} with `ssh -A`, so that your"
        f" key opens {other} from there, and paste",
        (command("rsync", *options, f"{login}:{model.path}/", f"{path}/"),),
    )


def whole(snapshot: Snapshot, *, but: str) -> tuple[str, Checkpoint] | None:
    """The first node, head first, that has the model whole in a directory, and that model."""
    head = snapshot.inventory.head.name
    for name in sorted(snapshot.reached, key=lambda n: n != head):
        found = snapshot.facts(name).model
        if name != but and isinstance(found, Checkpoint) and found.whole:
            return name, found
    return None


def _address(snapshot: Snapshot, name: str, other: str) -> str:
    """Where `name` reaches `other`: over the fabric if both have one, else as the inventory says.

    The inventory's host may be an alias of this machine's ~/.ssh/config.
    """
    if snapshot.choice_error(name) is None and snapshot.choice_error(other) is None:
        return snapshot.choice(other).address
    return snapshot.node(other).host
