"""What NCCL, Gloo and UCX would select on each node with the environment that `up` sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.hca import ACTIVE, Device, Selection, select_hcas
from sparkctl.fabric.ifname import SOCKET_FAMILY, Interface, select_interfaces
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.version import Version

HOST_IP = "VLLM_HOST_IP"
# UCX takes a list of interfaces and of HCAs with their port; "all" is its default (openucx's
# src/ucp/core/ucp_context.c). The others take one interface.
UCX, UCX_ALL = "UCX_NET_DEVICES", "all"
LITERAL = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", UCX)


def devices(view: View, name: str) -> list[Device]:
    """A node's RDMA ports as NCCL sees them."""
    return [
        Device(hca, int(port), facts.state or "unknown")
        for hca, device in known(view.facts(name).ib).items()
        for port, facts in device.ports.items()
    ]


def links(view: View, name: str) -> list[Interface]:
    """A node's network interfaces as NCCL sees them, in the kernel's order."""
    found = []
    for interface, net in known(view.facts(name).net).items():
        addresses = (*net["ipv4"], *net["ipv6"])
        running = bool(net.up) and net.carrier != 0
        found.append(Interface(interface, running, bool(addresses), addresses))
    return found


def hca_selection(
    view: View, name: str, environment: Mapping[str, str], version: Version
) -> Selection:
    """What NCCL_IB_HCA, as this environment has it, selects of a node's devices."""
    netdevs = list(known(view.facts(name).net))
    return select_hcas(environment.get(IB_HCA), devices(view, name), version, netdevs=netdevs)


def interface_selection(
    view: View, name: str, environment: Mapping[str, str], version: Version
) -> Selection:
    """What NCCL_SOCKET_IFNAME, as this environment has it, selects of a node's interfaces."""
    return select_interfaces(
        environment.get(SOCKET_IFNAME),
        links(view, name),
        version,
        family=environment.get(SOCKET_FAMILY),
        comm_id=environment.get("NCCL_COMM_ID"),
        hcas=list(known(view.facts(name).ib)),
    )


def hca(view: View, name: str) -> Iterator[Finding]:
    """NCCL_IB_HCA selects exactly the HCAs of the chosen cage that are wanted."""
    wanted = set(view.choice(name).hcas)
    chosen = hca_selection(view, name, view.effective(name), view.nccl_version(name))
    value = chosen.value
    found = set(chosen.selected)
    if found == wanted:
        yield ok(f"NCCL_IB_HCA={value or ''} selects {', '.join(sorted(found)) or 'nothing'}")
        return
    shown = f"NCCL_IB_HCA={value}" if value is not None else "NCCL_IB_HCA, which is unset,"
    hints = [*chosen.warnings]
    hints += _named_in_vain(value, view, name)
    evidence = Evidence(
        ", ".join(sorted(wanted)),
        ", ".join(sorted(found)) or "nothing",
        f"NCCL's matcher on {name}'s devices; the value is from {view.origin(name, 'NCCL_IB_HCA')}",
    )
    remedy = Remedy("leave NCCL_IB_HCA out of layers and inventory: it is derived on each node")
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    if missing:
        effect = "NCCL takes TCP without an error"
        if found:
            effect = "half of the cable is idle" if found & wanted else "the cable is idle"
        why = "; ".join([f"{m}: {_reason(chosen, m)}" for m in missing] + hints)
        yield fail(f"{shown} does not select {', '.join(missing)}: {effect}. {why}",
                   evidence, remedy)  # fmt: skip
    if extra:
        why = "; ".join(f"{e}: {_reason(chosen, e)}" for e in extra)
        yield fail(f"{shown} selects {', '.join(extra)} as well, of another cable. {why}",
                   evidence, remedy)  # fmt: skip


def named_and_down(value: str | None, view: View, name: str) -> list[str]:
    """The devices that a value would take, were they ACTIVE: NCCL does not tell."""
    every = [Device(d.name, d.port) for d in devices(view, name)]
    down = {d.name for d in devices(view, name) if d.state != ACTIVE}
    if not value or value.startswith("^"):
        return []
    return [d for d in select_hcas(value, every).selected if d in down]


def _named_in_vain(value: str | None, view: View, name: str) -> list[str]:
    cages = {h.hca: h.cage for h in view.halves(name)}
    wired = {cages[hca] for hca in view.choice(name).hcas if hca in cages}
    said = []
    for hca in named_and_down(value, view, name):
        text, cage = f"{hca}, which is named, is not ACTIVE", cages.get(hca)
        if cage is not None and cage not in wired:
            text += f": it is of cage {cage}, the cable is in {', '.join(map(str, sorted(wired)))}"
        said.append(text)
    return said


def _reason(chosen: Selection, name: str) -> str:
    return next((v.reason for v in chosen.devices if v.name == name), "it is no device here")


def interfaces(view: View, name: str) -> Iterator[Finding]:
    """The variables name the interface that carries the fabric address, or that address."""
    choice, found = view.choice(name), view.effective(name)
    wanted, version = choice.interfaces[0], view.nccl_version(name)
    remedy = Remedy("leave these variables out of layers and inventory: ${SOCKET_INTERFACE} is set")
    selected = interface_selection(view, name, found, version).selected
    wrong = [*_elsewhere(view, name, found, wanted), *_literal(view, name)]
    for variable, value, said in wrong:
        where = view.origin(name, variable)
        yield fail(
            f"{variable}={value or ''} {said}", Evidence(wanted, value or "unset", where), remedy
        )
    host = _host_address(view, name)
    yield from host
    extra = [n for n in selected if n not in choice.interfaces]
    if extra and wanted in selected[:1]:
        value = found.get(SOCKET_IFNAME, "")
        yield warn(
            f"{SOCKET_IFNAME}={value} selects {', '.join(extra)} as well: where NCCL falls back to"
            " sockets, a part of its data takes it",
            Evidence(wanted, ", ".join(selected), view.origin(name, SOCKET_IFNAME)),
            Remedy(f"leave {SOCKET_IFNAME} out, or name it exactly: =${{SOCKET_INTERFACE}}"),
        )
    elif not wrong and not host:
        yield ok(f"all name {wanted}, which has {choice.address}")


def _host_address(view: View, name: str) -> list[Finding]:
    """VLLM_HOST_IP is the node's own fabric address: vLLM asks the default route without it."""
    choice, value = view.choice(name), view.environment(name).get(HOST_IP)
    if value == choice.address:
        return []
    own = {a.partition("/")[0] for net in known(view.facts(name).net).values() for a in net["ipv4"]}
    here = value is None or value in own
    said = "is unset" if value is None else f"is {value}"
    effect = (
        "vLLM's control traffic takes another network than the fabric"
        if here
        else f"no interface of {name} has that, and vLLM cannot listen there"
    )
    return [
        (warn if here else fail)(
            f"{HOST_IP} {said}: {effect}",
            Evidence(choice.address, value or "unset", view.origin(name, HOST_IP)),
            Remedy(f"leave {HOST_IP} out of layers and inventory: it is derived on each node"),
        )
    ]


def _literal(view: View, name: str) -> Iterator[tuple[str, str, str]]:
    """Each variable without NCCL's grammar that names something else, its value, what is wrong."""
    choice, environment = view.choice(name), view.environment(name)
    net, ib = known(view.facts(name).net), known(view.facts(name).ib)
    here = {*net, *ib, *(f"{hca}:{port}" for hca in ib for port in ib[hca].ports)}
    fabric = {n for n in here if n.partition(":")[0] in (*choice.interfaces, *choice.hcas)}
    for variable in LITERAL:
        value = environment.get(variable)
        if value is None or (variable == UCX and value == UCX_ALL):
            continue  # the library chooses
        names, known = ([value], {choice.interfaces[0]})
        if variable == UCX:
            names, known = value.split(","), fabric
        for one in names:
            if one not in known:
                where = "not the fabric's" if one in here else "not here"
                yield variable, value, f"names {one}, which is {where}"


def _elsewhere(
    view: View, name: str, environment: Mapping[str, str], wanted: str
) -> Iterator[tuple[str, str | None, str]]:
    """The variable by which NCCL's bootstrap takes another interface, its value, what it does."""
    version = view.nccl_version(name)
    chosen = interface_selection(view, name, environment, version)
    found = chosen.selected
    if found[:1] == [wanted]:
        return
    said = f"selects {found[0]}" if found else "selects nothing: NCCL ends at its start"
    if wanted not in found:
        said += f"; {wanted}: {_reason(chosen, wanted)}"
    unforced = {k: v for k, v in environment.items() if k != SOCKET_FAMILY}
    by_name = interface_selection(view, name, unforced, version).selected[:1]
    variable = SOCKET_FAMILY if by_name == [wanted] else SOCKET_IFNAME
    yield variable, environment.get(variable), said


CHECKS = (
    Check("fabric.hca", "node", hca, preflight=True),
    Check("fabric.interfaces", "node", interfaces, preflight=True),
)
