"""Command lines of docker and podman, for containers that hold an engine's programs; pure.

Flags and differences: docker 20.10 and 28, podman 4.3, as run on the lab's nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.node.containertools import (
    CLUSTER,
    REGISTRY,
    UNIT,
    USER,
    image_id,
    reference,
    short_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.inventory.models import Argument

IMAGE = "sparkctl.image"  # label: the first digits of the image's Id
MEMLOCK = "memlock=-1:-1"
INFINIBAND = "/dev/infiniband"
# Enough for NCCL over RDMA without --privileged. `--init`: a shell as the first process ignores
# SIGTERM. No restart policy: one on a failing start leaks unified memory. No `--ipc host`: vLLM
# 0.32 leaves 190 MB in /dev/shm even after SIGTERM, which goes with the container when it has its
# own. Its size is a limit and takes nothing.
FLAGS: Mapping[str, Argument] = {
    "network": "host",
    "shm-size": "64g",
    "ulimit": [MEMLOCK, "stack=67108864:67108864"],
    "init": True,
    "restart": "no",
    "pull": "never",
}
# Values of --ipc with which the container has its own /dev/shm.
OWN_SHM = ("private", "shareable")
# Empty, it clears the image's own and its command (docker 20.10, podman 4.3, run).
ENTRYPOINT = "--entrypoint="
# What sparkctl says itself of each container, and why `flags` may not.
OWN_FLAGS = {
    **dict.fromkeys(
        ("name", "entrypoint", "detach", "label", "label-file", "cidfile"),
        "sparkctl sets this flag itself; remove it",
    ),
    "rm": "sparkctl removes its containers itself, when they have ended; remove it",
    **dict.fromkeys(
        ("env", "env-file"), "env.set and the nodes' env are a container's too; write it there"
    ),
    "user": "the programs run as the login, which can see and stop them then; remove it",
    **dict.fromkeys(("volume", "mount"), "runtime.mounts has the mounts; write it there"),
    "net": "sparkctl sets network itself; remove it",
}
# The only values that `flags` may give these, and why. Without one docker does not restart either.
FIXED: Mapping[str, tuple[tuple[Argument, ...], str]] = {
    "restart": (
        ("no", False, None),
        "a container that restarts by itself leaks unified memory; remove it",
    ),
    "network": (("host",), "Ray and NCCL need the node's own interfaces; remove it"),
}


@dataclass(frozen=True)
class Tool:
    """How one of the container engines differs from the other.

    `gpus`: the flags by which a container gets the GPU. `save`: a program's arguments that write an
    image to stdout as an archive that both load. The rest of it: node/containertools.py.
    """

    name: str
    gpus: Mapping[str, Argument]
    save: tuple[str, ...]


DOCKER = Tool(name="docker", gpus={"gpus": "all"}, save=("save",))
PODMAN = Tool(
    name="podman",
    gpus={"device": ["nvidia.com/gpu=all"]},  # CDI; podman 4.3 ignores --gpus
    save=("save", "--quiet", "--format", "docker-archive"),
)
TOOLS = {tool.name: tool for tool in (DOCKER, PODMAN)}


@dataclass(frozen=True)
class Mount:
    """A path of the node, and where a container has it. The engine refuses a missing `source`."""

    source: str
    target: str
    readonly: bool = False


@dataclass(frozen=True)
class Container:
    """A container to start: `argv` replaces the image's entry point and command.

    `environment` has no secrets, which inspect() would show; None: the value that the variable has
    where the engine's program runs. `flags` by name, as `flags()` gives them.
    """

    name: str
    image: str
    argv: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    id_file: str = ""
    flags: Mapping[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """An image as a node has it: its Id, and the digests that registries know it by."""

    id: str
    digests: frozenset[str] = frozenset()


def name(cluster: str, unit: str) -> str:
    """The container's name of a unit's id, as "sparkctl.lab.vllm.0.engine.spark-1"."""
    return f"sparkctl.{cluster}.{unit.replace('/', '.')}"


def labels(cluster: str, unit: str, uid: int, image: str) -> dict[str, str]:
    """The labels by which sparkctl knows a container as this login's."""
    return {CLUSTER: cluster, UNIT: unit, USER: str(uid), IMAGE: short_id(image)}


def refusal(name: str, value: Argument) -> str:
    """Why `flags` may not have this one; empty where it may."""
    values, why = FIXED.get(name, ((value,), ""))
    return OWN_FLAGS.get(name) or ("" if value in values else why)


def defaults(own: Mapping[str, Argument]) -> dict[str, Argument]:
    """FLAGS, but for one that an engine refuses together with those of `own`."""
    found = dict(FLAGS)
    if own.get("ipc") not in (None, False, *OWN_SHM):
        del found["shm-size"]  # podman 4.3: cannot set shmsize when running in the host IPC
    return found


def merged(*layers: Mapping[str, Argument]) -> dict[str, Argument]:
    """Flags from several mappings: a later value replaces an earlier one, lists are joined, and
    None drops the flag.
    """
    found: dict[str, Argument] = {}
    for layer in layers:
        for name, value in layer.items():
            if value is None:
                found.pop(name, None)
            elif isinstance(value, list) or isinstance(found.get(name), list):
                found[name] = [*_values(found.get(name)), *_values(value)]
            else:
                found[name] = value
    return found


def _values(value: Argument) -> list[str]:
    if value is None or value is False:
        return []
    parts = value if isinstance(value, list) else [value]
    return [str(part) for part in parts]


def _flags(flags: Mapping[str, Argument]) -> Iterator[str]:
    """Flags as words; true is a flag without a value."""
    for name, value in sorted(flags.items()):
        if value is True:
            yield f"--{name}"
        else:
            for text in _values(value):
                yield from (f"--{name}", text)


def start(tool: Tool, container: Container) -> tuple[str, ...]:
    """Start a container in the background; prints its Id, and writes it to `id_file`, which must
    not be there. The container stays after its end.
    """
    written = ("--cidfile", container.id_file) if container.id_file else ()
    named = ("--name", container.name, *written)
    return (tool.name, "run", "--detach", *named, *_run(tool, container))


def image(argv: Sequence[str]) -> str | None:
    """The image that a command line of start() names, in full for podman."""
    at = argv.index(ENTRYPOINT) + 1 if ENTRYPOINT in argv else len(argv)
    return next(iter(argv[at:]), None)


def once(tool: Tool, container: Container) -> tuple[str, ...]:
    """Run a program in a new container that gets this one's stdin, and remove it at its end."""
    flags = ("--rm", "--interactive", "--name", container.name)
    return (tool.name, "run", *flags, *_run(tool, container))


def _run(tool: Tool, container: Container) -> Iterator[str]:
    yield from _flags(container.flags)
    for key, label in sorted(container.labels.items()):
        yield from ("--label", f"{key}={label}")
    for key, value in sorted(container.environment.items()):
        yield from ("--env", key if value is None else f"{key}={value}")
    for mount in container.mounts:
        yield from ("--mount", _mount(mount))
    yield from (ENTRYPOINT, reference(tool.name, container.image), *container.argv)


def _mount(mount: Mount) -> str:
    """The value of `--mount`, a line of CSV; unlike `-v` it makes no missing folder."""
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    fields += ["readonly"] if mount.readonly else []
    return ",".join(_csv(field) for field in fields)


def _csv(field: str) -> str:
    plain = not any(c in field for c in ',"\n')
    return field if plain else '"' + field.replace('"', '""') + '"'


def inside(tool: Tool, container: str, *names: str) -> tuple[str, ...]:
    """What runs the program that follows in a container, with this one's stdin and these variables.

    It has the container's environment, but not what its entry point exported.
    """
    passed = [word for name in names for word in ("--env", name)]
    return tool.name, "exec", "--interactive", *passed, container


def save(tool: Tool, image: str) -> tuple[str, ...]:
    """Write an image to stdout, for load() of either engine."""
    return tool.name, *tool.save, reference(tool.name, image)


def load(tool: Tool) -> tuple[str, ...]:
    """Read an image from stdin."""
    return tool.name, "load", "--quiet"


def named(tool: Tool, image: str, name: str) -> tuple[tuple[str, ...], ...]:
    """What gives an image (its Id) that was loaded the name by which it was saved.

    Archives have docker's short names, and podman 4.3 takes "vllm/x" for "localhost/vllm/x".
    """
    full = reference(tool.name, name)
    short = full.removeprefix(f"{REGISTRY[tool.name]}/").removeprefix("library/")
    if not REGISTRY[tool.name] or short == full:
        return ()
    return (tool.name, "tag", image, full), (tool.name, "untag", image, f"localhost/{short}")


def store(tool: Tool) -> tuple[str, ...]:
    """The engine as a JSON object that has where it keeps images."""
    return tool.name, "info", "--format", "{{json .}}"


def same(one: Image, other: Image) -> bool:
    """Whether two nodes have the same image. Ids differ between storage drivers, digests do not."""
    return image_id(one.id) == image_id(other.id) or bool(one.digests & other.digests)
