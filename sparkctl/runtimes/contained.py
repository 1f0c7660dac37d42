"""A service's programs in containers: one container a node, in which Ray and the engine run; pure.

The programs run as the login, at the node's own paths, so that marks, signals, logs and what /proc
shows are as without a container. Ray's and vLLM's processes share its /dev/shm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.node import files, modelpath, processes
from sparkctl.node.containertools import CLUSTER, USER
from sparkctl.node.units import CONTAINER, READY, Member, Need, Program, Stop, Unit
from sparkctl.runtimes import container
from sparkctl.runtimes.container import DOCKER, TOOLS, Container, Mount, Tool

if TYPE_CHECKING:
    from sparkctl.inventory.models import Argument, Inventory
    from sparkctl.inventory.models import Runtime as Settings
    from sparkctl.runtimes.runtime import Place

START = 120.0  # seconds for the engine to start a container; a cold image of 20 GB takes some
GRACE = 10.0
SLEEP = ("sleep", "infinity")
HOME_SIZE = "4g"  # of what is written to the home besides the caches; it takes what is used
# Folders of the home where compiled kernels are kept: without them each start compiles again.
CACHES = (".cache", ".triton", ".tilelang")
# Where the environment may have such folders, and the hub's models, instead.
FOLDER_VARIABLES = (
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"),
    *(
        "VLLM_CACHE_ROOT",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
        "FLASHINFER_WORKSPACE_BASE",
    ),
)
MARKS = (processes.MARK, processes.ROLE, processes.UNIT)


def path(_inventory: Inventory, program: str) -> str:
    """The program by its name: the image's PATH has it."""
    return "python3" if program == "python" else program


def base(place: Place) -> Unit:
    """The container of a node. It is started when the engine says so, and ends with its units."""
    name = place.unit(CONTAINER)
    made = replace(
        _container(place),
        argv=SLEEP,
        labels=_labels(place, name),
        id_file=f"{_state(place)}/{files.CONTAINER}",
    )
    return Unit(
        id=name,
        node=place.node,
        kind=CONTAINER,
        title="container",
        group=name,
        program=Program(container.start(_tool(place), made), ends=START),
        members=(Member(place.node, SLEEP[0]),),
        stop=Stop(GRACE),
    )


def within(place: Place, unit: Unit) -> Unit:
    """The unit in the container, which it needs and follows."""
    program = replace(unit.program, inside=inside(place, *MARKS))
    needs = (Need(place.unit(CONTAINER), READY), *unit.needs)
    return replace(unit, program=program, needs=needs)


def inside(place: Place, *names: str) -> tuple[str, ...]:
    """What runs the program that follows in the container of a node, with these variables."""
    return container.inside(_tool(place), _name(place), *names)


def once(place: Place, name: str) -> tuple[str, ...]:
    """What runs the program that follows in a container of this name like that of a node, for a
    moment; with the user's mounts alone, as a start makes some of the others.
    """
    labels = {CLUSTER: place.view.cluster, USER: str(place.login.uid)}
    made = replace(_container(place), name=name, mounts=_own_mounts(place), labels=labels)
    return container.once(_tool(place), made)


def folders(place: Place) -> tuple[str, ...]:
    """The folders for compiled kernels and for the hub's models, which are mounted."""
    caches = [f"{place.login.home}/{name}" for name in CACHES]
    named = (place.environment.get(name, "") for name in FOLDER_VARIABLES)
    return tuple(dict.fromkeys([*caches, *(path for path in named if path.startswith("/"))]))


def sources(runtime: Settings) -> list[str]:
    """The paths of the node that the user's mounts name, as the inventory has them."""
    return [text.split(":")[0] for text in runtime.mounts]


def _tool(place: Place) -> Tool:
    return TOOLS.get(place.tool, DOCKER)


def _name(place: Place) -> str:
    return container.name(place.view.cluster, place.unit(CONTAINER))


def _labels(place: Place, unit: str) -> dict[str, str]:
    return container.labels(place.view.cluster, unit, place.login.uid, place.image)


def _state(place: Place) -> str:
    """The cluster's directory on the node (node/files.py)."""
    return f"{place.login.home}/.sparkctl/{place.view.cluster}"


def _container(place: Place) -> Container:
    login = place.login
    # Without a user of that name in the image these are what asks for a home or a name gets.
    home = {"HOME": login.home, "USER": login.name, "LOGNAME": login.name}
    return Container(
        name=_name(place),
        image=place.view.runtime.image or "",
        argv=(),
        mounts=_mounts(place),
        environment={**home, **dict.fromkeys(MARKS)},
        flags=_flags(place),
    )


def _flags(place: Place) -> dict[str, Argument]:
    own = dict(place.view.runtime.flags)
    tool, gpus = _tool(place), own.pop("gpus", "all")
    base = container.defaults(own)
    found = container.merged(base, tool.gpus if gpus == "all" else {"gpus": gpus})
    if place.infiniband:
        found = container.merged(found, {"device": [container.INFINIBAND]})
    return container.merged(found, _identity(place), own)


def _identity(place: Place) -> dict[str, Argument]:
    """Who the programs are: the login, as root they would leave files that it cannot remove.

    A rootless engine's root is the login already. Only root has use for a capability.
    """
    login = place.login
    if login.uid == 0 or place.rootless:
        return {"cap-add": ["IPC_LOCK"]}
    return {
        "user": f"{login.uid}:{login.gid}",
        "group-add": [str(group) for group in login.groups if group != login.gid],
        "tmpfs": f"{login.home}:rw,exec,mode=1777,size={HOME_SIZE}",
    }


def _mounts(place: Place) -> tuple[Mount, ...]:
    """The cluster's directories, the caches, the model and the user's own; of two with the same
    target the later one counts.
    """
    home, view = place.login.home, place.view
    mounts = [Mount(each, each) for each in (_state(place), place.temp_dir, *folders(place))]
    model = view.vllm.model
    if modelpath.is_path(model):
        at = modelpath.expanded(model, home)
        mounts.append(Mount(at, at, readonly=True))
    if place.login.uid and not place.rootless:  # so that the login has a name
        mounts += [Mount(f"/etc/{n}", f"/etc/{n}", readonly=True) for n in ("passwd", "group")]
    mounts += _own_mounts(place)
    return tuple({mount.target: mount for mount in mounts}.values())


def _own_mounts(place: Place) -> tuple[Mount, ...]:
    return tuple(_own(text, place.login.home) for text in place.view.runtime.mounts)


def _own(text: str, home: str) -> Mount:
    """A mount of the inventory: SOURCE[:TARGET][:ro]."""
    source, *rest = text.split(":")
    source = modelpath.expanded(source, home)
    target = next((part for part in rest if part.startswith("/")), source)
    return Mount(source, target, readonly=rest[-1:] == ["ro"])
