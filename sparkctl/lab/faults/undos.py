"""What undoes the changes of faults: a closed table of names, each with the data that it takes.

The lab's journal has these names and data, never a command line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.lab.faults import rayjoin, scripts
from sparkctl.lab.faults.scripts import sh
from sparkctl.lab.faults.sshd import RELOAD
from sparkctl.lab.node import FAULT_FILES
from sparkctl.node import undo
from sparkctl.node.undo import INTERFACE, is_flag, is_number, is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.lab.existing import Lab
    from sparkctl.lab.running import RunningNode
    from sparkctl.node.undo import Check, Data
    from sparkctl.node.wire import Json

    Run = Callable[[Lab, RunningNode | None, Data], None]

FOREIGN_FOLDER = "/tmp/foreign-ray"
USER_CONF = "/root/.nccl.conf"


@dataclass(frozen=True)
class Row:
    """An undo: the `fields` of its data, each with its check, and what it does."""

    fields: Mapping[str, Check]
    run: Run


def _on_node(argv: Callable[[Data], list[str]]) -> Run:
    """A program on the node; a node that has ended has taken its changes with it."""

    def run(_: Lab, node: RunningNode | None, data: Data) -> None:
        if node is not None:
            node.run(*argv(data))

    return run


def _script(text: str, *names: str) -> Run:
    """A script on the node, whose arguments are these values of the data."""
    return _on_node(lambda data: sh(text, *(word for name in names for word in _words(data[name]))))


def _words(value: Json) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _same(name: str) -> Row:
    """The row of node/undo.py's table, by a program on the node."""
    row = undo.TABLE[name]
    assert row.argv is not None
    return Row(row.fields, _on_node(row.argv))


def _program(*argv: str) -> Run:
    """A program on the node; {name} in a word is a value of the data."""
    return _on_node(lambda data: [word.format_map(data) for word in argv])


def _address(data: Data) -> list[str]:
    verb = "replace" if data["present"] else "delete"
    return ["ip", "address", verb, str(data["address"]), "dev", str(data["interface"])]


def _restore_inventory(lab: Lab, _: RunningNode | None, __: Data) -> None:
    lab.inventory.with_suffix(".healthy").replace(lab.inventory)


def _rejoin(lab: Lab, node: RunningNode | None, data: Data) -> None:
    if node is not None:
        rayjoin.rejoin(lab, node, str(data["mark"]))


def _ipv4(kind: type[IPv4Address]) -> Check:
    """A check for an address, or with IPv4Interface for one with its prefix."""

    def check(value: Json) -> bool:
        try:
            return isinstance(value, str) and str(kind(value)) == value
        except ValueError:
            return False

    return check


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _pair_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) == 2 and all(map(check, value))


def _text(pattern: str) -> Check:
    return is_text(re.compile(pattern))


STEP = r"(?!\.\.?(/|$))[^/\x00-\x1f]+"  # of a path; not "." or ".."
PATH = _text(rf"(/{STEP})+")
FOLDER = _text(rf"{STEP}(/{STEP})*")
SYS = _text(rf"/sys(/{STEP})+")
DEVICE = _text(r"[A-Za-z0-9_]{1,40}")
LINK = is_text(INTERFACE)
CIDR = _ipv4(IPv4Interface)
OWN = _text(rf"{FAULT_FILES}/[a-z0-9-]+|{FOREIGN_FOLDER}|{re.escape(USER_CONF)}")
PID = is_number(range(1, 2**22 + 1))  # proc(5), pid_max
SLOT = is_number(range(256))
KIB = is_number(range(1, 2**40))

UNDOS: Mapping[str, Row] = {
    "remove": Row({"path": OWN}, _program("rm", "-rf", "{path}")),
    "uncover": Row(
        {"by": PATH, "path": PATH, "bound": is_flag},
        _script(scripts.UNCOVER, "by", "path", "bound"),
    ),
    "unmount": Row({"path": PATH}, _program("umount", "{path}")),
    "unhide": Row({"path": PATH}, _program("mv", "{path}.hidden", "{path}")),
    "write": Row({"path": SYS, "text": _text(r"[ -~\n]*")}, _script(scripts.WRITE, "path", "text")),
    "resize": Row(
        {"path": PATH, "kib": KIB},
        _program("mount", "-t", "tmpfs", "-o", "remount,size={kib}k", "tmpfs", "{path}"),
    ),
    "link-mtu": _same("link-mtu"),
    "link-state": _same("link-state"),
    "address": Row({"address": CIDR, "interface": LINK, "present": is_flag}, _on_node(_address)),
    "route": Row(
        {"subnet": CIDR, "interface": LINK, "source": _ipv4(IPv4Address)},
        _program(
            *("ip", "route", "replace", "{subnet}", "dev", "{interface}"),
            *("proto", "kernel", "scope", "link", "src", "{source}"),
        ),
    ),
    "exchange-links": Row(
        {"names": _pair_of(LINK), "index": is_number(range(1, 2**31))},
        _script(scripts.EXCHANGE_LINKS, "names", "index"),
    ),
    "delete-rules": Row(
        {"table": _text("sparkctl-lab-[a-z]+")}, _program("nft", "delete table inet {table}")
    ),
    "rename-device": Row(
        {"folder": FOLDER, "verbs": FOLDER, "name": DEVICE, "to": DEVICE},
        _script(scripts.RENAME_DEVICE, "folder", "verbs", "name", "to"),
    ),
    "exchange-gids": Row(
        {"port": SYS, "slots": _pair_of(SLOT), "gid": _text("[0-9a-f:]{39}")},
        _script(scripts.EXCHANGE_GIDS, "port", "slots", "gid"),
    ),
    "continue": Row({"pids": _list_of(PID)}, _script(scripts.CONTINUE, "pids")),
    "reload-sshd": Row({}, _on_node(lambda _: RELOAD)),
    "remove-record": Row(
        {"state": _text(r"\.sparkctl/[a-z0-9-]+"), "run": _text("[0-9]{8}-[0-9]{6}-[a-z]+")},
        _script(scripts.REMOVE_RECORD, "state", "run"),
    ),
    "rejoin-ray": Row({"mark": _text("[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")}, _rejoin),
    "restore-inventory": Row({}, _restore_inventory),
}


def known(name: str, data: Data) -> Row:
    """The row of this name. Raises ValueError for an unknown name, or other data than it has."""
    if name not in UNDOS:
        raise ValueError(f"unknown undo {name}")
    undo.require(name, UNDOS[name].fields, data)
    return UNDOS[name]


def run(lab: Lab, node: RunningNode | None, name: str, data: Data) -> None:
    """Undo a change on a node, None if it has ended.

    Raises SparkctlError when that fails, ValueError for what the table does not have.
    """
    known(name, data).run(lab, node, data)
