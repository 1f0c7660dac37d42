"""Which interfaces NCCL, Gloo, UCX and vLLM use with the environment that `up` sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.selection import interface_selection, reasons
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.grammar import SOCKET_IFNAME
from sparkctl.fabric.ifname import SOCKET_FAMILY
from sparkctl.facts.unread import known
from sparkctl.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data

# UCX takes a list of interfaces and of HCAs with their port; "all" is its default (openucx's
# src/ucp/core/ucp_context.c). The others take one interface.
UCX, UCX_ALL = "UCX_NET_DEVICES", "all"
ONE_INTERFACE = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


class Misdirected(NamedTuple):
    """A variable that has a program use another interface than the fabric's, and how."""

    variable: str
    value: str | None
    effect: str


def interfaces(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The variables name the interface that carries the fabric address, or that address."""
    choice = snapshot.choice(name)
    misdirected = [
        *_bootstrap(snapshot, name),
        *_one_interface(snapshot, name),
        *_ucx(snapshot, name),
    ]
    remedy = Remedy("remove these variables from layers and inventory: ${SOCKET_INTERFACE} is set")
    for variable, value, effect in misdirected:
        origin = snapshot.origin(name, variable)
        shown = f"{variable}, which is unset," if value is None else f"{variable}={quoted(value)}"
        yield fail(
            f"{shown} {effect}",
            Evidence(choice.interfaces[0], _shown(value), origin),
            remedy,
            code="wrong-interface",
            data={
                "variable": variable,
                "expected": choice.interfaces[0],
                "got": value,
                "origin": origin,
            },
        )
    others = [*_host_address(snapshot, name), *_extra_interfaces(snapshot, name)]
    yield from others
    if not misdirected and not others:
        yield ok(f"all name {choice.interfaces[0]}, which has {choice.address}")


def _shown(value: str | None) -> str:
    return "unset" if value is None else quoted(value)


def _extra_interfaces(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    choice, environment = snapshot.choice(name), snapshot.effective(name)
    selected = interface_selection(
        snapshot, name, environment, snapshot.nccl_version(name)
    ).selected
    extra = [n for n in selected if n not in choice.interfaces]
    first = choice.interfaces[0]
    if extra and first in selected[:1]:
        value, origin = environment.get(SOCKET_IFNAME, ""), snapshot.origin(name, SOCKET_IFNAME)
        yield warn(
            f"{SOCKET_IFNAME}={quoted(value)} also selects {', '.join(extra)}: if NCCL falls back"
            " to sockets, part of its data takes it",
            Evidence(first, ", ".join(selected), origin),
            Remedy(f"set {SOCKET_IFNAME} to =${{SOCKET_INTERFACE}}, which matches the whole name"),
            code="extra-interfaces",
            data={"variable": SOCKET_IFNAME, "got": value, "extra": extra, "origin": origin},
        )


def _host_address(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """VLLM_HOST_IP, or SGLang's variable, is the node's own fabric address: without it vLLM takes
    the default route's.
    """
    engine = snapshot.engine
    variable = engine.host_ip
    expected, value = snapshot.choice(name).address, snapshot.environment(name).get(variable)
    if value == expected:
        return
    origin = snapshot.origin(name, variable)
    evidence = Evidence(expected, _shown(value), origin)
    remedy = Remedy(f"remove {variable} from layers and inventory: it is derived on each node")
    data: Data = {"variable": variable, "expected": expected, "got": value, "origin": origin}
    nets = known(snapshot.facts(name).net).values()
    if value is None or any(value == a.partition("/")[0] for net in nets for a in net.ipv4):
        text = (
            f"{variable} is {_shown(value)}: {engine.title}'s control traffic takes another network"
            " than the fabric"
        )
        yield warn(text, evidence, remedy, code="host-ip-elsewhere", data=data)
    else:
        text = (
            f"{variable} is {quoted(value)}, which {name} does not have, so {engine.title} cannot"
            " listen there"
        )
        yield fail(text, evidence, remedy, code="host-ip-unknown", data=data)


def _one_interface(snapshot: Snapshot, name: str) -> Iterator[Misdirected]:
    """The variables that take one literal interface."""
    expected, environment = snapshot.choice(name).interfaces[0], snapshot.environment(name)
    for variable in ONE_INTERFACE:
        value = environment.get(variable)  # without one the library chooses
        if value not in (None, expected):
            yield Misdirected(variable, value, _names(snapshot, name, value or ""))


def _ucx(snapshot: Snapshot, name: str) -> Iterator[Misdirected]:
    choice, value = snapshot.choice(name), snapshot.environment(name).get(UCX)
    if value is None or value == UCX_ALL:
        return
    fabric = {*choice.interfaces, *choice.hcas}
    own = _existing(snapshot, name)
    for one in value.split(","):
        if one not in own or one.partition(":")[0] not in fabric:
            yield Misdirected(UCX, value, _names(snapshot, name, one))


def _names(snapshot: Snapshot, name: str, one: str) -> str:
    where = "not the fabric's" if one in _existing(snapshot, name) else "not on this node"
    return f"names {quoted(one)}, which is {where}"


def _existing(snapshot: Snapshot, name: str) -> set[str]:
    """The node's interfaces, HCAs, and HCAs with their port, as UCX names them."""
    net, ib = known(snapshot.facts(name).net), known(snapshot.facts(name).ib)
    return {*net, *ib, *(f"{device}:{port}" for device in ib for port in ib[device].ports)}


def _bootstrap(snapshot: Snapshot, name: str) -> Iterator[Misdirected]:
    """The variable by which NCCL's bootstrap uses another interface."""
    expected, environment = snapshot.choice(name).interfaces[0], snapshot.effective(name)
    version = snapshot.nccl_version(name)
    selection = interface_selection(snapshot, name, environment, version)
    selected = selection.selected
    if selected[:1] == [expected]:
        return
    effect = f"selects {selected[0]}" if selected else "selects nothing, and NCCL fails to start"
    if expected not in selected:
        effect = "; ".join([effect, *reasons(selection, [expected])])
    unforced = {k: v for k, v in environment.items() if k != SOCKET_FAMILY}
    by_name = interface_selection(snapshot, name, unforced, version).selected[:1]
    variable = SOCKET_FAMILY if by_name == [expected] else SOCKET_IFNAME
    yield Misdirected(variable, environment.get(variable), effect)


CHECKS = (Check("fabric.interfaces", "node", interfaces, preflight=True),)
