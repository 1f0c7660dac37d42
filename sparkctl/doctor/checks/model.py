"""The model's checkpoint on the nodes: present, whole, readable, the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, per_node
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, warn
from sparkctl.doctor.modelcopy import copy
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.hostgroups import Checkpoint, HubModel
from sparkctl.facts.unread import Missing, known
from sparkctl.operations.session import HUB_VARIABLES
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot

GIB = 2**30
SHOWN = 3  # names of shards
# Variables with which vLLM downloads nothing, and their true values (huggingface_hub 2.4,
# constants.py).
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE = ("1", "ON", "YES", "TRUE")


def model(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The checkpoint is there, whole and readable, if `model` is a path."""
    found = _checkpoint(snapshot, name)
    if found is None:
        yield _of_hub(snapshot, name)
        return
    if elsewhere := _other_path(snapshot, name, found):
        yield elsewhere
        return
    remedy = copy(snapshot, name, found.path)
    if incomplete := _incomplete(found, remedy):
        yield incomplete
        return
    yield from _damaged(found, remedy)
    yield from _unreadable(found, snapshot.facts(name).user)
    if not found.broken and not found.unreadable:
        yield ok(f"{found.shards} shards, {found.bytes / GIB:.2f} GiB at {found.path}")


def _checkpoint(snapshot: Snapshot, name: str) -> Checkpoint | None:
    """The model in a node's directory; None for one on the hub."""
    found = known(snapshot.facts(name).model)
    return found if isinstance(found, Checkpoint) else None


def _other_path(snapshot: Snapshot, name: str, found: Checkpoint) -> Finding | None:
    """Every rank opens the head's path, but `~` is each node's own home."""
    setting, head = snapshot.inventory.vllm.model, snapshot.inventory.head.name
    on_head = _checkpoint(snapshot, head) if setting.startswith("~/") else found
    if on_head is None or on_head.path == found.path:
        return None
    return fail(
        f"{snapshot.engine.title} opens {on_head.path} on every node, {setting} of {head};"
        f" here it is {found.path}",
        Evidence(on_head.path, found.path, "the homes of the SSH users"),
        Remedy(
            f"set {snapshot.inventory.key}.model to an absolute path that is the same on every node"
        ),
        code="other-path",
        data={"expected": on_head.path, "got": found.path},
    )


def _of_hub(snapshot: Snapshot, name: str) -> Finding:
    """What is known of a model that the engine gets from the hub."""
    vllm, found = snapshot.inventory.vllm, known(snapshot.facts(name).model)
    title = snapshot.engine.title
    if not isinstance(found, HubModel) or not found.dangling or found.path is None:
        return info(f"{title} downloads {vllm.model} from the hub", code="hub-model")
    planned, revision = snapshot.planned(name), vllm.arguments.get("revision")
    offline = next((n for n in OFFLINE if planned.get(n, "").upper() in TRUE), None)
    # The cache that the engine will have is the one to fill.
    cache = [f"{n}={planned[n]}" for n in HUB_VARIABLES if n in planned]
    argv = ["hf", "download", vllm.model, *(["--revision", str(revision)] if revision else [])]
    return _dangling(
        found.path,
        found.dangling,
        f"{offline} forbids {title} to download them"
        if offline
        else f"{title} downloads them again",
        Remedy(
            f"download them on {name}; whoever copies a folder of the hub's cache needs its"
            " `blobs` as well, where the files are",
            (command(*(["env", *cache] if cache else []), *argv),),
        ),
        fatal=offline is not None,
    )


def _dangling(
    path: str, names: Sequence[str], effect: str, remedy: Remedy, *, fatal: bool
) -> Finding:
    """Links whose files are gone, as after a copy of a folder of the hub's cache."""
    more = f" and {len(names) - SHOWN} more" if names[SHOWN:] else ""
    return (fail if fatal else warn)(
        f"{', '.join(names[:SHOWN])}{more} in {path} lead to files that are gone: {effect}",
        Evidence("a file behind each link", f"{counted(len(names), 'link')} to nothing", path),
        remedy,
        code="dangling-links",
        data={"path": path, "dangling": names},
    )


def _incomplete(found: Checkpoint, remedy: Remedy) -> Finding | None:
    """The first part of the checkpoint that is missing."""
    path, data = found.path, {"path": found.path}
    if not found.exists:
        evidence = Evidence("a directory", "none", path)
        return fail(f"no directory {path}", evidence, remedy, code="no-model", data=data)
    if found.dangling:
        effect = "the engine cannot read them"
        return _dangling(path, found.dangling, effect, remedy, fatal=True)
    if not found.config:
        evidence = Evidence("config.json", "none", path)
        return fail(f"no config.json in {path}", evidence, remedy, code="no-config", data=data)
    if not found.shards:
        evidence = Evidence("*.safetensors", "none", path)
        return fail(f"no *.safetensors in {path}", evidence, remedy, code="no-shards", data=data)
    if found.missing:
        return fail(
            f"{path} lacks {', '.join(found.missing[:SHOWN])}",
            Evidence("every shard of the index", f"{len(found.missing)} missing", path),
            remedy,
            code="missing-shards",
            data={"path": path, "missing": found.missing},
        )
    return None


def _damaged(found: Checkpoint, remedy: Remedy) -> Iterator[Finding]:
    for shard in found.broken:
        expected = f"{shard.wanted} bytes" if shard.wanted else "a safetensors header"
        yield fail(
            f"{shard.name} is damaged: expected {expected}, got {shard.found} bytes",
            Evidence(expected, f"{shard.found} bytes", f"{found.path}/{shard.name}"),
            remedy,
            code="damaged-shard",
            data={"shard": shard.name, "expected": shard.wanted, "got": shard.found},
        )


def _unreadable(found: Checkpoint, user: str) -> Iterator[Finding]:
    for shard in found.unreadable:
        owner = f"{shard.user or 'uid'} ({shard.uid}), mode {shard.mode}"
        yield fail(
            f"{user} may not read {shard.name}; its owner is {owner}",
            Evidence(f"readable for {user}", owner, f"{found.path}/{shard.name}"),
            Remedy(
                f"make {user} the owner of the checkpoint; files that a container wrote as root"
                " belong to root",
                (command("sudo", "chown", "-R", user, found.path),),
            ),
            code="unreadable-shard",
            data={"shard": shard.name, "user": user, "owner": shard.uid, "mode": shard.mode},
        )


def same_model(snapshot: Snapshot) -> Iterator[Finding]:
    """Every node has the head's configuration, index and sizes."""
    on_head = _checkpoint(snapshot, snapshot.inventory.head.name)
    if on_head is None:
        return
    if not on_head.exists:
        raise Missing(
            f"{snapshot.inventory.head.name} has no model at {on_head.path}", what="model"
        )
    yield from per_node(snapshot, lambda name: _same_digest(snapshot, name, on_head))


def _same_digest(snapshot: Snapshot, name: str, on_head: Checkpoint) -> Iterator[Finding]:
    head, found = snapshot.inventory.head.name, _checkpoint(snapshot, name)
    if name == head or found is None:
        return
    if not found.exists:
        raise Missing(f"{name} has no model at {found.path}", what="model")
    if found.digest == on_head.digest:
        yield ok(f"same checkpoint as {head}", node=name)
        return
    remedy = copy(snapshot, name, found.path)
    if not on_head.whole:
        remedy = Remedy(f"{head}'s is not whole: see model.present there first")
    yield warn(
        f"the checkpoint differs from {head}'s",
        Evidence(f"{on_head.bytes} bytes", f"{found.bytes} bytes", snapshot.inventory.vllm.model),
        remedy,
        node=name,
        code="model-differs",
        data={"expected": on_head.digest, "got": found.digest},
    )


CHECKS = (
    Check("model.present", "node", model, preflight=True, lacks=applies.checkpoint),
    Check("model.same", "cluster", same_model, preflight=True, lacks=applies.checkpoint),
)
