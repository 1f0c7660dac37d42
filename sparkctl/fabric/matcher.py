"""What NCCL selects by NCCL_IB_HCA and NCCL_SOCKET_IFNAME, and why not the others; pure.

The semantics are those of NCCL's parseStringList and matchIfList (src/misc/utils.cc) and of their
callers (src/transport/net_ib*, src/misc/socket.cc), tags 2.20.5 to 2.30.7: nothing is trimmed,
case counts, an entry is a prefix unless the whole value begins with `=`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sparkctl.fabric.ncclparam import leading_int
from sparkctl.fabric.version import NEWEST, RAIL_GRAMMAR, RUNNING_ONLY, Version

MAX_HCAS, MAX_IFNAMES = 32, 16  # MAX_IB_DEVS and MAX_IFS: further entries are not read
ANY = -1


@dataclass(frozen=True)
class Device:
    """A port of an RDMA device, in the verbs list's order."""

    name: str
    port: int = 1
    active: bool = True


@dataclass(frozen=True)
class Interface:
    """A network interface: administratively up, with carrier, with an IPv4 or IPv6 address."""

    name: str
    up: bool = True
    addressed: bool = True


@dataclass(frozen=True)
class Entry:
    """One name of the list; `port` is ANY where the value names none."""

    name: str
    port: int = ANY


@dataclass(frozen=True)
class Filter:
    """A parsed value: `^` excludes what matches, `=` takes names whole."""

    exclude: bool
    exact: bool
    entries: tuple[Entry, ...]
    dropped: tuple[str, ...] = ()  # beyond the limit

    def matches(self, name: str, port: int) -> Entry | None:
        """The first entry that matches, whatever the filter then makes of it."""
        for entry in self.entries:
            same = entry.name == name if self.exact else name.startswith(entry.name)
            if same and entry.port in (ANY, port):
                return entry
        return None

    def selects(self, name: str, port: int) -> bool:
        """Whether NCCL takes it: no entries select everything (and `^` alone nothing)."""
        hit = not self.entries or self.matches(name, port) is not None
        return hit != self.exclude


@dataclass(frozen=True)
class Verdict:
    """One device or interface: selected or not, and the reason."""

    name: str
    selected: bool
    reason: str


@dataclass(frozen=True)
class Selection:
    """What a value selects among some devices, in their order."""

    value: str | None
    devices: tuple[Verdict, ...]
    warnings: tuple[str, ...] = ()

    @property
    def selected(self) -> list[str]:
        """The names that are selected."""
        return [v.name for v in self.devices if v.selected]

    def document(self) -> dict[str, Any]:
        """The selection as JSON; part of the contract that scripts rely on."""
        return {
            "value": self.value,
            "selected": self.selected,
            "devices": [
                {"name": v.name, "selected": v.selected, "reason": v.reason} for v in self.devices
            ],
            "warnings": list(self.warnings),
        }


def parse(value: str, limit: int, version: Version = NEWEST) -> Filter:
    """Split a value as NCCL does: one `^`, then one `=`, both at the very beginning only."""
    exclude = value.startswith("^")
    rest = value[exclude:]
    exact = rest.startswith("=")
    names = [text for text in rest[exact:].split(",") if text]
    entries = tuple(_entry(text, version) for text in names)
    kept = [e for e in entries if e.name]  # ":1" has no name, and is dropped like an empty one
    return Filter(exclude, exact, tuple(kept[:limit]), tuple(e.name for e in kept[limit:]))


def _entry(text: str, version: Version) -> Entry:
    name, colon, rest = text.partition(":")
    if not colon:
        return Entry(name)
    if version >= RAIL_GRAMMAR:
        port = rest.partition(":")[0]
        return Entry(name, leading_int(port) if port else ANY)
    return Entry(name, leading_int(rest))


def select_hcas(
    value: str | None, devices: Sequence[Device], version: Version = NEWEST
) -> Selection:
    """What NCCL_IB_HCA selects; only ports that are ACTIVE are ever looked at.

    Unset, empty, `,` and `=` select everything.
    """
    chosen = parse(value or "", MAX_HCAS, version)
    verdicts = [
        Verdict(d.name, False, f"port {d.port} is not ACTIVE, which NCCL skips without a word")
        if not d.active
        else _verdict(chosen, d.name, d.port)
        for d in devices
    ]
    return Selection(value, tuple(verdicts), tuple(_dropped(chosen, MAX_HCAS)))


def select_interfaces(
    value: str | None, interfaces: Sequence[Interface], version: Version = NEWEST
) -> Selection:
    """What NCCL_SOCKET_IFNAME selects among the interfaces that have an address.

    The bootstrap takes the first alone, the socket transport up to 16. Unset, the first of these
    that finds any: names that begin with `ib`; all but docker and lo (and from 2.28.3 virbr);
    docker; lo. A value of one character is ignored, as unset.
    """
    usable = [i for i in interfaces if _usable(i, version)]
    if value is None or len(value) < 2:
        chosen = _unset(usable, version)
    else:
        wanted = parse(value, MAX_IFNAMES, version=(0,))
        # A port parses and does nothing here.
        wanted = Filter(wanted.exclude, wanted.exact, tuple(Entry(e.name) for e in wanted.entries),
                        wanted.dropped)  # fmt: skip
        chosen = {i.name: _verdict(wanted, i.name, ANY) for i in usable}
    verdicts = [
        chosen.get(i.name) or Verdict(i.name, False, _unusable(i, version)) for i in interfaces
    ]
    limited, taken = [], 0
    for verdict in verdicts:
        taken += verdict.selected
        over = verdict.selected and taken > MAX_IFNAMES
        limited.append(
            Verdict(verdict.name, False, f"more than {MAX_IFNAMES} are selected")
            if over
            else verdict
        )
    return Selection(value, tuple(limited), tuple(_ifname_warnings(value)))


def _usable(interface: Interface, version: Version) -> bool:
    return interface.addressed and (interface.up or version < RUNNING_ONLY)


def _unusable(interface: Interface, version: Version) -> str:
    if not interface.addressed:
        return "it has no address"
    return f"it is down: from 2.28.3 it must be running (this is {'.'.join(map(str, version))})"


def _verdict(chosen: Filter, name: str, port: int) -> Verdict:
    entry = chosen.matches(name, port)
    if chosen.exclude and chosen.entries and entry is None:
        return Verdict(name, True, "nothing excludes it")
    if not chosen.entries:
        reason = "^ without names excludes everything" if chosen.exclude else "no name is given"
    elif entry is None:
        reason = _why_not(chosen, name)
    else:
        how = "is" if chosen.exact or entry.name == name else "begins with"
        reason = f"{'excluded: ' if chosen.exclude else ''}its name {how} {entry.name}"
    return Verdict(name, chosen.selects(name, port), reason)


def _why_not(chosen: Filter, name: str) -> str:
    for entry in chosen.entries:
        if name == entry.name or (not chosen.exact and name.startswith(entry.name)):
            return f"its name matches {entry.name}, its port is not {entry.port}"
    for entry in chosen.entries:
        if name.startswith(entry.name):
            return f"= takes whole names, {entry.name} is only its beginning"
        if name.lower().startswith(entry.name.lower()):
            return f"{entry.name} differs from its name by case"
        if name == entry.name.strip(" \t\"';"):
            return f"{entry.name!r} has a space or quote in it, which NCCL does not strip"
    if name in chosen.dropped:
        return "it is named beyond the entries that NCCL reads"
    return "no entry matches"


def _dropped(chosen: Filter, limit: int) -> list[str]:
    if not chosen.dropped:
        return []
    return [f"only the first {limit} entries are read: {', '.join(chosen.dropped)} are not"]


def _ifname_warnings(value: str | None) -> list[str]:
    if value is not None and len(value) == 1:
        return [f"{value!r} has one character, which NCCL takes as unset"]
    return []


def _unset(usable: Sequence[Interface], version: Version) -> dict[str, Verdict]:
    hidden = ("docker", "lo") + (("virbr",) if version >= RUNNING_ONLY else ())
    for begins, wanted, reason in (
        (("ib",), True, "unset, names that begin with ib come first"),
        (hidden, False, f"unset, all but {', '.join(hidden)}"),
        (("docker",), True, "unset, nothing but docker is left"),
        (("lo",), True, "unset, nothing but lo is left"),
    ):
        taken = [i for i in usable if i.name.startswith(begins) == wanted]
        if taken:
            names = {i.name for i in taken}
            other = f"not among those that are taken when unset: {', '.join(sorted(names))}"
            return {
                i.name: Verdict(i.name, i.name in names, reason if i.name in names else other)
                for i in usable
            }
    return {}
