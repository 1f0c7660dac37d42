"""What a runtime is: how its programs are named, and how they are started in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.inventory.models import Inventory, View
    from sparkctl.node.units import Unit


@dataclass(frozen=True)
class Login:
    """Who the login of a node is: programs in a container run as that."""

    name: str = ""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "~"


@dataclass(frozen=True)
class Place:
    """A node of a replica, for its runtime.

    `environment` is that of its programs, `temp_dir` their directory. The rest is for containers:
    the `tool` that starts them, whether that is `rootless`, the `image` (its Id), and whether the
    node has devices for RDMA.
    """

    view: View
    node: str
    replica: str
    temp_dir: str
    login: Login = Login()
    environment: Mapping[str, str] = field(default_factory=dict)
    tool: str = ""
    rootless: bool = False
    image: str = ""
    infiniband: bool = True

    def unit(self, kind: str) -> str:
        """The id of a unit of this node."""
        return f"{self.replica}/{kind}/{self.node}"


def _nothing(_place: Place, *_names: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Runtime:
    """`path` gives where a program is, on a node of this inventory; `base` the unit in which others
    run, if there is one; `within` a unit as it starts there.

    A program that follows the words of `inside` runs in what `base` started, and gets the named
    variables; with those of `once` in a container of the given name, which ends with it. `folders`
    are those of the login that it needs, made where they are missing.
    """

    path: Callable[[Inventory, str], str]
    base: Callable[[Place], Unit | None] = lambda _place: None
    within: Callable[[Place, Unit], Unit] = lambda _place, unit: unit
    inside: Callable[..., tuple[str, ...]] = _nothing
    once: Callable[[Place, str], tuple[str, ...]] = _nothing
    folders: Callable[[Place], tuple[str, ...]] = _nothing
