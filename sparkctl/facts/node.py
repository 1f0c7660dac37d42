"""All that a node reported, typed and frozen; decoded once from the probe's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo, WrapValidator, model_validator
from pydantic_core import ValidationError

from sparkctl.facts import containers, groups, hostgroups, processes
from sparkctl.facts.answers import LeaseTaken
from sparkctl.facts.shape import Count, Flag, Name, Rows, Shape, Text, Time, Uid
from sparkctl.facts.unread import Unread
from sparkctl.facts.wrong import first

if TYPE_CHECKING:
    from pydantic import ValidatorFunctionWrapHandler

T = TypeVar("T")
LEFT_OUT = "missing from the answer"


def _or_unread(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """A group of another shape is unread; the rest of the answer counts."""
    if isinstance(value, Unread):
        return value
    try:
        return check(value)
    except ValidationError as error:
        group = WIRE.get(info.field_name or "", "")
        return Unread(group, f"malformed: {first(error, group)}", "malformed")


if TYPE_CHECKING:
    Group: TypeAlias = T | Unread
else:
    Group = Annotated[T, WrapValidator(_or_unread)]


class Why(Shape):
    """Why a node could not read a group."""

    reason: Text
    kind: Literal["denied", "timeout", "absent", "failed"] = "failed"


def _why(value: Any) -> Any:
    """A reason alone, as nodes gave it before there were kinds."""
    return {"reason": value} if isinstance(value, str) else value


class NodeFacts(Shape):
    """What a node is, and each group of what was read there, or Unread in its place."""

    hostname: Name
    user: Name
    uid: Uid
    home: Name
    time: Time
    time_end: Time
    machine: Name
    os: Text
    python: Name
    unread: Mapping[Name, Annotated[Why, BeforeValidator(_why)]]

    ib: Group[Mapping[Name, groups.RdmaDevice]]
    net: Group[Mapping[Name, groups.Interface]]
    memory: Group[Mapping[Name, Count]]
    system: Group[groups.System]
    limits: Group[hostgroups.LimitFiles]
    kernel_log: Group[hostgroups.KernelLog]
    disk: Group[Mapping[Name, groups.Disk]]
    sudo: Group[Flag]
    verbs: Group[groups.Verbs]
    counters: Group[groups.Counters]
    settings: Group[groups.Settings]
    persistence: Group[groups.Persistence]
    people: Group[Rows[Name]]
    runtime: Group[groups.Runtime]
    model: Group[hostgroups.HubModel | hostgroups.Checkpoint]
    config_json: Group[groups.ModelConfig] = Field(alias="model_config")  # pydantic has that name
    ports: Group[Rows[groups.Listener]]
    ours: Group[Rows[processes.OurProcess]]
    foreign_rays: Group[Rows[groups.ForeignRay]]
    state: Group[groups.State]
    gpu: Group[hostgroups.Gpus]
    containers: Group[containers.Containers]

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, answer: dict[str, Any]) -> dict[str, Any]:
        reasons = answer.get("unread")
        found = dict(answer)
        for group in GROUPS:
            if group not in answer:
                why = reasons.get(group) if isinstance(reasons, dict) else None
                found[group] = _left_out(group, why)
        return found

    def of(self, node: str) -> NodeFacts:
        """The same, with the node's name in each group that is unread."""
        gaps = self.gaps
        named = {n: replace(gaps[group], node=node) for n, group in WIRE.items() if group in gaps}
        return self.model_copy(update=named) if named else self

    @property
    def gaps(self) -> dict[str, Unread]:
        """The groups that could not be read, by name."""
        found = {group: getattr(self, name) for name, group in WIRE.items()}
        return {group: value for group, value in found.items() if isinstance(value, Unread)}


def _left_out(group: str, why: Any) -> Unread:
    if why is None:
        return Unread(group, LEFT_OUT, "missing")
    try:
        found = Why.model_validate(_why(why))
    except ValidationError:  # the field `unread` itself says what is wrong
        return Unread(group, LEFT_OUT, "missing")
    return Unread(group, found.reason, found.kind)


class Claimed(Shape):
    """Whether the lease was taken, and the facts if it was (node/claim.py)."""

    taken: LeaseTaken
    facts: NodeFacts | None


SCALARS = ("hostname", "user", "uid", "home", "time", "time_end", "machine", "os", "python")
# Each group's field, and its name in the answer.
WIRE = {
    name: field.alias or name
    for name, field in NodeFacts.model_fields.items()
    if name not in (*SCALARS, "unread")
}
GROUPS = tuple(WIRE.values())
