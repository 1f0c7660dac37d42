"""What a rank's log adds to a cause, and which causes it leaves open; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.nccllog import advice, hca, warnings
from sparkctl.fabric.nccllog.classify import broken, disabled, network, not_rdma, transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.fabric.nccllog.model import Candidate, Cause
    from sparkctl.fabric.nccllog.peers import LoneHalf
    from sparkctl.fabric.nccllog.rank import RankState

# The setting that a cause is about.
SETTINGS: dict[Cause, str] = {
    "hca-filter-no-match": IB_HCA,
    "no-device": IB_HCA,
    "ifname-no-match": SOCKET_IFNAME,
}


@dataclass(frozen=True)
class Detail:
    """What a log adds to a cause, in words and as data; both are empty if it adds nothing."""

    text: str = ""
    data: Mapping[str, Sequence[str]] = field(default_factory=dict)


def merged(details: Iterable[Detail]) -> dict[str, list[str]]:
    """The data of several ranks, each value once."""
    data: dict[str, list[str]] = {}
    for detail in details:
        for key, values in detail.data.items():
            known = data.setdefault(key, [])
            known += [value for value in values if value not in known]
    return data


def detail(because: Cause, state: RankState, half: LoneHalf | None) -> Detail:
    """What a rank's log adds to a cause."""
    match because:
        case "hca-filter-no-match" | "no-device" | "ifname-no-match":
            return _setting(because, state)
        case "net-ib-unavailable":
            return _unavailable(state, half)
        case "mixed-transports":
            return Detail(f"{state.name} on {network(state)}", {network(state): [state.name]})
        case "one-half-only" if half:
            return Detail(f"{state.name} {half.detail}", {"used": half.used, "idle": half.idle})
        case "plugin-only":
            return _plugin(state)
        case "ring-without-diagonal":
            return _diagonal(state)
        case "unknown":
            return _unknown(state)
    return _fault(because, state)


def _setting(because: Cause, state: RankState) -> Detail:
    name = SETTINGS[because]
    value = state.settings.get(name)
    if value is None:
        return Detail()
    text, data = f"{name}={value!r}", {name: [value]}
    if because == "no-device":
        return Detail(f"{text} excludes no device", data) if value else Detail()
    if because == "hca-filter-no-match" and (mistakes := hca.mistakes(value, state.release)):
        text += f": {', '.join(doubt.text for doubt in mistakes)}"
        data["mistakes"] = [doubt.code for doubt in mistakes]
    return Detail(text, data)


def _unavailable(state: RankState, half: LoneHalf | None) -> Detail:
    reason = not_rdma(state)
    if reason == "unknown":
        return Detail()
    more = detail(reason, state, half)
    text = f"because of {reason}" + (f", {more.text}" if more.text else "")
    return Detail(text, {"because": [reason], **more.data})


def _plugin(state: RankState) -> Detail:
    fault = broken(state).get("net-ib-unavailable")
    networks = [fault.network] if fault and fault.network else list(state.networks)
    return Detail(", ".join(networks), {"networks": networks})


def _diagonal(state: RankState) -> Detail:
    if state.rank is None or not (far := [str(rank) for rank in state.tree.diagonal]):
        return _fault("ring-without-diagonal", state)
    return Detail(f"rank {state.rank} to rank {', '.join(far)}", {"diagonal": far})


def _unknown(state: RankState) -> Detail:
    if lines := warnings.lines(state.marks) or state.marks.get("unknown"):
        text = lines[0].message or lines[0].text
        return Detail(text, {"messages": [text]})
    return Detail(f"{state.name} {'uses TCP' if network(state) == 'socket' else 'has no network'}")


def _fault(because: Cause, state: RankState) -> Detail:
    fault = broken(state).get(because)
    if fault and fault.gids:
        local, remote = fault.gids
        text = f"local GID {local}, remote GID {remote}"
        return Detail(text, {"local_gid": [local], "remote_gid": [remote]})
    return Detail("Bad address") if fault and fault.bad_address else Detail()


def candidates(because: Cause, state: RankState, half: LoneHalf | None) -> Sequence[Candidate]:
    """The causes that a rank's log leaves open; none if it proves this one."""
    match because:
        case "hca-filter-no-match":
            return _of_filter(state)
        case "net-forced-socket" if not (state.devices or "NCCL_NET" in state.settings):
            return advice.SKIPPED_IB
        case "ib-disabled" if not disabled(state):
            return advice.SILENT_DISABLE
        case "net-ib-unavailable":
            reason = not_rdma(state)
            return advice.UNSEEN if reason == "unknown" else candidates(reason, state, half)
        case "memory-registration" if bad_address(state):
            return ()
        case "one-half-only" if half:
            return _of_half(half)
        case "unknown":
            return _of_unknown(state)
    return advice.ADVICE[because].candidates


def _of_filter(state: RankState) -> Sequence[Candidate]:
    value = state.settings[IB_HCA]
    if hca.mistakes(value, state.release):
        return ()
    return (hca.candidate(value, state.release), *advice.NO_DEVICE)


def _of_half(half: LoneHalf) -> Sequence[Candidate]:
    if not half.by_channels:
        return advice.SILENT_HALF
    return () if half.sure else (advice.FOLDED,)


def _of_unknown(state: RankState) -> Sequence[Candidate]:
    if known := meaning(state):
        return known.candidates
    return advice.NO_REASON if network(state) == "socket" else ()


def meaning(state: RankState) -> advice.Advice | None:
    """What a rank's warnings mean, if nothing else explains its transport better."""
    kind, known = transport(state), warnings.meaning(state.marks)
    if known is None or kind == "socket":
        return None
    return known if known.code != warnings.OTHER or kind in ("rdma", "local") else None


def bad_address(state: RankState) -> bool:
    """Whether memory could not be registered because the device cannot reach it."""
    fault = broken(state).get("memory-registration")
    return fault is not None and fault.bad_address
