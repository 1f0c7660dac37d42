"""The inventory as typed, frozen values; loader.py reads it and reports its problems.

Defaults are for GB10 (vLLM's own arguments are in engines/vllm/recipe.py).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from sparkctl.secret.value import Json, protected

if TYPE_CHECKING:
    from collections.abc import Iterable


def _no_number(value: object) -> object:
    """Refuse a number, which ipaddress would read as an address: 5 as 0.0.0.5."""
    if isinstance(value, (int, float)):
        raise PydanticCustomError("ip_from_number", "an address in text")
    return value


Text = Annotated[str, Field(min_length=1)]
Address = Annotated[IPv4Address, BeforeValidator(_no_number)]
Subnet = Annotated[IPv4Network, BeforeValidator(_no_number)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
# Ray itself refuses lower ones for its workers.
WorkerPort = Annotated[int, Field(ge=1024, le=65535, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=86_400, strict=True)]
# Used in file names and in SPARKCTL_CLUSTER, so it needs no quoting anywhere.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
LEFT_OUT: Any = None  # see Inventory.vllm
SHORT = "vllm"  # the name of the service that `vllm:` is short for
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _protected(values: dict[str, Json]) -> dict[str, Json]:
    return {name: protected(name, value) for name, value in values.items()}


# Values that may be secrets: a secret is a Secret from here on.
Variables = Annotated[dict[EnvName, str], AfterValidator(_protected)]
Scalar = str | bool | int | float
Argument = Scalar | list[Scalar] | dict[str, object] | None
MOUNT = r"^(/|~/)[^:]*(:/[^:]*)?(:r[ow])?$"
FlagName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
Arguments = Annotated[dict[FlagName, Argument], AfterValidator(_protected)]
# Long names alone: rules know a flag by one name.
LongName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]+$")]


class Model(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Ssh(Model):
    """How nodes are reached; settings left out come from ~/.ssh/config and the agent."""

    user: Text | None = None
    port: Port | None = None
    identity_file: Text | None = None
    known_hosts: Text | None = None
    host_keys: Literal["strict", "accept-new"] = "strict"
    connect_timeout: Seconds = 10.0


class NodeFabric(Model):
    """One node's fabric; each value left out is derived from that node's sysfs."""

    cage: Annotated[int, Field(ge=0, le=7, strict=True)] | None = None
    interfaces: Annotated[list[Text], Field(min_length=1, max_length=8)] | None = None
    hcas: Annotated[list[Text], Field(min_length=1, max_length=32)] | None = None
    addresses: Annotated[list[Address], Field(min_length=1, max_length=8)] | None = None


class Node(Model):
    """A Spark; `host` is a name or address as for ssh(1).

    A `role` left out follows from the order (`first_head`); loader.py fills it in.
    """

    name: Name
    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:%-]+$")]
    role: Literal["head", "worker"] | None = None
    ssh: Ssh | None = None
    fabric: NodeFabric = NodeFabric()
    env: Variables = {}


class Fabric(Model):
    """The fabric of all nodes; `auto` is chosen for all nodes together."""

    cage: Literal["auto"] | Annotated[int, Field(ge=0, le=7, strict=True)] = "auto"
    subnets: Literal["auto"] | Annotated[list[Subnet], Field(min_length=1)] = "auto"
    mtu: Annotated[int, Field(ge=1280, le=9216, strict=True)] = 9000


class Runtime(Model):
    """Where the programs run on a node: in the virtual environment `venv` (absolute, or under ~/),
    or in containers of `image`.

    `tool` starts these; `auto`: the first that all nodes have. `mounts` are paths of the node, as
    SOURCE[:TARGET][:ro]. `flags` changes the flags of `docker run`; null drops one. `kind`: a name
    of runtimes/table.py, for a runtime that the other keys do not say.
    """

    kind: Text | None = None
    venv: Annotated[str, Field(pattern=r"^(/|~/).+")] = "~/vllm"
    image: Annotated[str, Field(max_length=512, pattern=r"^[A-Za-z0-9][\w./:@-]*$")] | None = None
    tool: Literal["auto", "docker", "podman"] = "auto"
    mounts: list[Annotated[str, Field(pattern=MOUNT)]] = []
    flags: Annotated[dict[LongName, Argument], AfterValidator(_protected)] = {}

    @property
    def name(self) -> str:
        """Its name in runtimes/table.py."""
        return self.kind or ("container" if self.image else "venv")


class Env(Model):
    """Environment layers (files, relative to the inventory's folder) and single values."""

    layers: list[Text] = []
    set: Variables = {}


class Ray(Model):
    """The Ray cluster. `num_gpus: auto` leaves detection to Ray."""

    port: Port = 6379
    dashboard_port: Port = 8265
    node_manager_port: Port | None = None
    object_manager_port: Port | None = None
    min_worker_port: WorkerPort | None = None
    max_worker_port: WorkerPort | None = None
    object_store_memory: Annotated[int, Field(ge=78_643_200, strict=True)] | None = None
    num_gpus: Literal["auto"] | Annotated[int, Field(ge=1, le=16, strict=True)] = "auto"
    auth: Literal["token", "off"] = "token"
    start_timeout: Seconds = 120.0


class Vllm(Model):
    """What is served. `arguments` changes the recipe's flags; null drops one.

    `recipe` is auto (by the model's architecture), none, or a name of engines/vllm/recipe.py.
    """

    model: Text
    executor: Text = "ray"
    recipe: Text = "auto"
    served_model_name: Text | None = None
    host: Text = "0.0.0.0"
    port: Port = 30000
    tensor_parallel_size: Annotated[int, Field(ge=1, strict=True)] = 2
    arguments: Arguments = {}
    stall_timeout: Seconds = 1800.0


class Service(Vllm):
    """One of several services, with an engine on nodes of its own ([]: on all nodes).

    `runtime` is its own, None: the cluster's.

    engines/inventory.py knows the engines and the executors of each.
    """

    engine: Text = "vllm"
    nodes: Annotated[list[Name], Field(min_length=1)] = []
    runtime: Runtime | None = None


class Inventory(Model):
    """A cluster with either `vllm`, the short form of one service on all nodes, or `services`.

    What concerns one service reads its View, which is an inventory too. `vllm` is None where
    `services` has the settings.
    """

    cluster: Name
    ssh: Ssh = Ssh()
    nodes: Annotated[list[Node], Field(min_length=1)]
    fabric: Fabric = Fabric()
    runtime: Runtime = Runtime()
    env: Env = Env()
    ray: Ray = Ray()
    vllm: Vllm = LEFT_OUT
    services: Annotated[dict[Name, Service], Field(min_length=1)] = {}
    imitated: list[str] = []

    @property
    def head(self) -> Node:
        """The head of the (first) service. Raises StopIteration where no node may be it."""
        head = first_head(self.nodes)
        if head is None:
            raise StopIteration
        return head

    @property
    def workers(self) -> list[Node]:
        """The other nodes, in the inventory's order."""
        head = self.head
        return [n for n in self.nodes if n is not head]

    def node(self, name: str) -> Node:
        """The node of this name. Raises StopIteration where there is none."""
        return next(n for n in self.nodes if n.name == name)

    @property
    def views(self) -> list[View]:
        """One for each service, in the inventory's order."""
        if not self.services:
            return [self._view(SHORT, self.vllm, self.nodes)]
        by_name = {n.name: n for n in self.nodes}
        return [
            self._view(name, service, [by_name[n] for n in service.nodes or by_name])
            for name, service in self.services.items()
        ]

    def view(self, service: str) -> View:
        """The view of the service of this name. Raises StopIteration where there is none."""
        return next(v for v in self.views if v.service == service)

    def view_of(self, node: Node) -> View | None:
        """The view of the service that has a node; None for a node without a service."""
        return next((v for v in self.views if any(n.name == node.name for n in v.nodes)), None)

    def view_for(self, node: Node) -> View:
        """The same; the first view for a node without a service, which is read as the others."""
        return self.view_of(node) or self.views[0]

    @property
    def key(self) -> str:
        """Where the file has the settings that are `vllm` here, of several services in general."""
        if not self.services:
            return SHORT
        name, *others = self.services
        return f"services.{'NAME' if others else name}"

    def _view(self, name: str, settings: Vllm, nodes: list[Node]) -> View:
        own = {**dict(settings), "nodes": [n.name for n in nodes]}
        service = Service.model_construct(settings.model_fields_set, **own)
        seen: dict[str, Any] = {"nodes": nodes, "vllm": service, "services": {}, "service": name}
        seen["runtime"] = service.runtime or self.runtime
        return View.model_construct(self.model_fields_set, **{**dict(self), **seen})

    def gpus_of(self, _node: Node) -> int:
        """The number of GPUs of a node: 1, unless ray.num_gpus sets another."""
        return 1 if self.ray.num_gpus == "auto" else self.ray.num_gpus

    def ssh_of(self, node: Node) -> Ssh:
        """The SSH settings of a node: its own values over the cluster's."""
        if node.ssh is None:
            return self.ssh
        return self.ssh.model_copy(update=node.ssh.model_dump(exclude_unset=True))


class View(Inventory):
    """An inventory as one service sees it: its nodes in its order, its settings as `vllm`."""

    vllm: Service
    service: Name

    @property
    def views(self) -> list[View]:
        """This one alone."""
        return [self]

    @property
    def runtime_key(self) -> str:
        """Where the file has the runtime."""
        return f"{self.key}.runtime" if self.vllm.runtime else "runtime"

    @property
    def key(self) -> str:
        """Where the file has the settings that are `vllm` here."""
        return f"services.{self.service}" if "services" in self.model_fields_set else SHORT


def first_head(nodes: Iterable[Node]) -> Node | None:
    """The node with role head, else the first that is not a worker."""
    free = [n for n in nodes if n.role != "worker"]
    return next((n for n in free if n.role == "head"), free[0] if free else None)
