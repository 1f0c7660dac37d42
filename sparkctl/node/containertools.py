"""The command lines of docker and podman that a node reads with, and how the two differ.

Run with docker 20.10 and 28 and podman 4.3 by tests/lab/test_containers.py.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Argv = tuple[str, ...]

TOOLS = ("docker", "podman")
# Labels: the cluster's name, the unit's id, and the uid of the login that started it.
CLUSTER, UNIT, USER = "sparkctl.cluster", "sparkctl.unit", "sparkctl.user"
# The architecture that images name, by `uname -m`.
ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}
# What a name without a registry means; docker completes it itself, podman fails without search
# registries.
REGISTRY = {"docker": "", "podman": "docker.io"}
# `podman info` asks dpkg or rpm for the packages of its programs, which takes most of a second.
ABOUT = {"docker": ("info", "--format", "{{json .}}"), "podman": ("version", "--format", "json")}


def may_have(tool: str) -> bool:
    """Whether an engine may have containers of this login. podman makes its store when it is asked
    for them, and leaves a process.
    """
    root = Path("/var/lib") if os.getuid() == 0 else Path.home() / ".local/share"
    is_used = tool != "podman" or (root / "containers/storage").is_dir()
    return is_used and shutil.which(tool) is not None


def reference(tool: str, image: str) -> str:
    """The image's name in full where the engine needs that: "vllm/x" is "docker.io/vllm/x".

    A first part with a dot or a colon, or "localhost", is a registry; "x" alone is "library/x"
    (the reference grammar of github.com/distribution/reference).
    """
    first, slash, _ = image.partition("/")
    is_registry = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    if not REGISTRY[tool] or is_registry or image.startswith("sha256:"):
        return image
    return f"{REGISTRY[tool]}/{'' if slash else 'library/'}{image}"


def architecture(machine: str) -> str:
    """What images for a machine (`uname -m`) name."""
    return ARCHITECTURES.get(machine, machine)


def image_id(text: str) -> str:
    """An image's Id in one form: docker writes "sha256:" before it, podman does not."""
    return text if text.startswith("sha256:") else f"sha256:{text}"


def short_id(text: str) -> str:
    """An image's Id as docker shows it: the first 12 digits."""
    return text.removeprefix("sha256:")[:12]


def about(tool: str) -> Argv:
    """The engine itself, as a JSON object."""
    return (tool, *ABOUT[tool])


def find(tool: str) -> Argv:
    """The Ids of all containers that the login may see, also of those that have ended."""
    return tool, "ps", "--all", "--no-trunc", "--quiet"


def inspect(tool: str, containers: Iterable[str]) -> Argv:
    """Containers as a JSON list; State.Pid is the node's pid of the first process."""
    return tool, "container", "inspect", *containers


def inspect_image(tool: str, image: str) -> Argv:
    """An image as a JSON list of one, with Id, RepoDigests and Architecture."""
    return tool, "image", "inspect", reference(tool, image)


def transient(cluster: str) -> str:
    """A new name for a container that runs one program, as "sparkctl.lab.look.1f2e3d4c"."""
    return f"sparkctl.{cluster}.look.{os.urandom(4).hex()}"


def remove(tool: str, container: str) -> Argv:
    """Remove a container with its anonymous volumes, also while it runs: by SIGKILL, for which
    podman waits ten seconds else.
    """
    at_once = ("--time", "0") if tool == "podman" else ()
    return tool, "rm", "--force", *at_once, "--volumes", container


def once(tool: str, image: str, name: str, cluster: str, argv: Sequence[str]) -> Argv:
    """Run a program in a new container of an image, with this one's stdin and without network and
    GPU; the container is removed at its end.
    """
    program, *rest = argv
    labels = (f"{CLUSTER}={cluster}", f"{USER}={os.getuid()}")
    flags = ("--rm", "--interactive", "--network", "none", "--pull", "never", "--name", name)
    marks = [word for label in labels for word in ("--label", label)]
    return tool, "run", *flags, *marks, "--entrypoint", program, reference(tool, image), *rest
