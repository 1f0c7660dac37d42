"""The container engine and the image that a service needs, before anything is started."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.doctor import applies, boxes
from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.unread import Missing, known
from sparkctl.node.containertools import architecture
from sparkctl.runtimes.container import Image, same

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.containers import ContainerEngine
    from sparkctl.facts.containers import Image as Found

GIB = 2**30
# Of several engines that cannot be used, the one that is nearest to it is named first.
NEAREST = ("denied", "stopped", "failed", "absent")
WORDS = {
    "denied": "{user} may not use {tool}",
    "stopped": "{tool} does not answer",
    "failed": "{tool} failed",
    "absent": "{tool} is not installed",
}


def engine(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The login may use a container engine that works on all nodes."""
    engines = known(snapshot.facts(name).containers).engines
    usable = _usable(snapshot, name)
    try:
        tool = boxes.tool(snapshot)
    except Missing as error:
        if usable and all(_usable(snapshot, each) for each in snapshot.reached):
            yield _not_common(usable, error)
            return
        # Where another node has none at all, that is said there.
        tool = usable[0] if usable else _nearest(snapshot, engines)
    found = engines.get(tool)
    if found and found.problem:
        yield _unusable(snapshot, name, engines, tool)
        return
    if found and found.rootless and not known(snapshot.facts(name).system).linger:
        yield _no_linger(snapshot.facts(name).user, tool)
        return
    version = found.version if found else None
    yield ok(f"{tool} {version or ''}".strip(), data={"engine": tool, "version": version})


def _usable(snapshot: Snapshot, name: str) -> list[str]:
    """The engines that can be used on a node; none where that is not known."""
    try:
        engines = known(snapshot.facts(name).containers).engines
    except Missing:
        return []
    return [tool for tool, found in engines.items() if not found.problem]


def _nearest(snapshot: Snapshot, engines: Mapping[str, ContainerEngine]) -> str:
    """Of the engines that cannot be used the one to repair: first those that other nodes use."""
    used = {tool for name in snapshot.reached for tool in _usable(snapshot, name)}

    def rank(tool: str) -> tuple[bool, int]:
        return tool not in used, NEAREST.index(engines[tool].problem or "absent")

    return min(engines, key=rank)


def _unusable(
    snapshot: Snapshot, name: str, engines: Mapping[str, ContainerEngine], tool: str
) -> Finding:
    problem, user = engines[tool].problem or "absent", snapshot.facts(name).user
    listed = "; ".join(f"{each}: {found.reason}" for each, found in engines.items())
    return fail(
        WORDS[problem].format(user=user, tool=tool),
        Evidence("a container engine that answers", listed, f"{tool} info"),
        _or_another(snapshot, _enable(tool, problem, user)),
        code="engine-unusable",
        data={"engines": [*engines], "problems": [found.problem for found in engines.values()]},
    )


def _or_another(snapshot: Snapshot, remedy: Remedy) -> Remedy:
    """The remedy, and the engine that works on all nodes instead."""
    names = [{*_usable(snapshot, name)} for name in snapshot.reached]
    if another := min(set.intersection(*names), default=""):
        text = f"{remedy.text}; or set {_key(snapshot)}.tool: {another}, which works on every node"
        return replace(remedy, text=text)
    return remedy


def _enable(tool: str, problem: str, user: str) -> Remedy:
    if problem == "absent":
        return Remedy(
            f"install {tool}, which DGX OS has, or name the other engine in runtime.tool",
            (command("sudo", "apt-get", "install", "docker.io" if tool == "docker" else tool),),
        )
    if tool == "docker" and problem == "denied":
        return Remedy(
            f"add {user} to the group docker, and log in again",
            (command("sudo", "usermod", "-aG", "docker", user),),
        )
    if tool == "docker" and problem == "stopped":
        return Remedy(
            "start it, and restart it if it hangs; its log says why it ended",
            ("sudo systemctl start docker", "sudo journalctl -u docker -n 50"),
        )
    return Remedy(f"see why {tool} fails", (f"{tool} info",))


def _not_common(usable: list[str], error: Missing) -> Finding:
    return fail(
        f"{' and '.join(usable)} works here, but not on every node",
        Evidence("one container engine that works on all nodes", error.message, "docker, podman"),
        Remedy("make the same engine usable on every node, or name one in runtime.tool"),
        code="engines-differ",
        data={"engines": usable},
    )


def _no_linger(user: str, tool: str) -> Finding:
    return warn(
        f"{tool} is rootless: its containers end with the last login of {user}",
        Evidence("linger", "no linger", "loginctl"),
        Remedy("enable linger", (command("sudo", "loginctl", "enable-linger", user),)),
        code="no-linger",
        data={"engine": tool, "user": user},
    )


def image(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The node has the image, for its processor, and the same as the head."""
    reference = snapshot.inventory.views[0].runtime.image or ""
    tool, found = boxes.tool(snapshot), boxes.engine(snapshot, name).image
    if found is None:
        yield _no_image(snapshot, reference, tool)
        return
    expected = architecture(snapshot.facts(name).machine)
    if found.architecture != expected:
        yield fail(
            f"{reference} is built for {found.architecture}, and the node is {expected}",
            Evidence(expected, found.architecture, f"{tool} image inspect {reference}"),
            Remedy(f"name an image for {expected} in {_key(snapshot)}.image"),
            code="other-architecture",
            data={"image": reference, "expected": expected, "got": found.architecture},
        )
        return
    if (head := _head(snapshot, name)) and not same(_identity(head), _identity(found)):
        source = snapshot.inventory.head.name
        yield fail(
            f"{reference} is another image than on {source}",
            Evidence(head.id, found.id, f"{tool} image inspect {reference}"),
            Remedy("copy the head's image to all nodes", (boxes.sync(snapshot, source),)),
            code="image-differs",
            data={"image": reference, "expected": head.id, "got": found.id},
        )
        return
    size = f"{found.size / GIB:.1f} GiB"
    yield ok(f"{reference}, {size}", data={"image": reference, "id": found.id})


def _head(snapshot: Snapshot, name: str) -> Found | None:
    """The head's image, if this is another node and the head has it."""
    head = snapshot.inventory.head.name
    if name == head:
        return None
    try:
        return boxes.engine(snapshot, head).image
    except Missing:  # which is said of the head
        return None


def _identity(found: Found) -> Image:
    return Image(found.id, frozenset(found.digests))


def _no_image(snapshot: Snapshot, reference: str, tool: str) -> Finding:
    head = snapshot.inventory.head.name
    having = sorted((n for n in snapshot.reached if _has(snapshot, n)), key=lambda n: n != head)
    if having:
        remedy = Remedy(
            f"copy it from {having[0]}, which has it, over the fabric",
            (boxes.sync(snapshot, having[0]),),
        )
    else:
        remedy = Remedy(
            "no node has it: pull or load it on the head, and copy it to the others",
            (command(tool, "pull", reference), boxes.sync(snapshot, head)),
        )
    return fail(
        f"{tool} does not have the image {reference}",
        Evidence(reference, "none", f"{tool} image inspect {reference}"),
        remedy,
        code="no-image",
        data={"image": reference, "engine": tool, "nodes": having},
    )


def _has(snapshot: Snapshot, name: str) -> bool:
    try:
        return boxes.engine(snapshot, name).image is not None
    except Missing:
        return False


def _key(snapshot: Snapshot) -> str:
    """Where the file has the runtime."""
    view = snapshot.inventory.views[0]
    return view.runtime_key


CHECKS = (
    Check("container.engine", "node", engine, preflight=True, lacks=applies.container),
    Check("container.image", "node", image, preflight=True, lacks=applies.container),
)
