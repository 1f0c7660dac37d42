"""What sparkctl changes on a node and can take back: a closed table of names, with checked data.

A journal holds these names and the data, never a command line. So a journal that somebody else
wrote can do no more than what is here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import files, jsontext, stop, subprocesses, venvs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.node.wire import Json

    Data = Mapping[str, Json]
    Check = Callable[[Json], bool]

NET = Path("/sys/class/net")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TEMPORARY = re.compile(r"/tmp/sparkctl-[A-Za-z0-9._-]{1,100}")  # plan/paths.py
MTU = range(68, 65536)  # RFC 791; the kernel's ETH_MAX_MTU
IFF_UP = 1  # if.h
SECONDS = 45.0  # for one program; dropping the cache of 128 GB takes some


class NotUndone(OSError):
    """What a change left could not be removed."""


class Row(NamedTuple):
    """One kind of change.

    `fields` of its data, each with its check; `undo` takes back what has this data. `do` makes the
    change; `before` reads, before that, the data that undoes it, None where nothing has to be
    undone. `argv` is the change as a program, for people to paste. `root`: only root can.
    """

    fields: Mapping[str, Check]
    undo: Callable[[str, Data], None] | None = None
    do: Callable[[str, Data], None] | None = None
    before: Callable[[str, Data], Data | None] | None = None
    argv: Callable[[Data], list[str]] | None = None
    root: bool = False


def is_text(pattern: re.Pattern[str]) -> Check:
    """A check for text of this pattern."""
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def is_flag(value: Json) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_number(allowed: range) -> Check:
    """A check for a whole number of this range."""
    return lambda value: type(value) is int and value in allowed


def require(name: str, fields: Mapping[str, Check], data: Data) -> None:
    """Raise ValueError unless the data has these fields alone, each as its check has it."""
    wrong = sorted({*fields} ^ {*data}) or [key for key in data if not fields[key](data[key])]
    if wrong:
        raise ValueError(f"malformed data of {name}: {', '.join(wrong)[:200]}")


def known(name: str, data: Data) -> Row:
    """The row of this name. Raises ValueError for an unknown name, or other data than it has."""
    if name not in TABLE:
        raise ValueError(f"unknown change {name!r}")
    require(name, TABLE[name].fields, data)
    return TABLE[name]


def _program(argv: Callable[[Data], list[str]]) -> Callable[[str, Data], None]:
    return lambda _, data: _run(argv(data))


def _run(argv: list[str]) -> None:
    subprocesses.start(argv).finish(SECONDS)


def _mtu(data: Data) -> list[str]:
    return ["ip", "link", "set", str(data["interface"]), "mtu", str(data["mtu"])]


def _mtu_before(_: str, data: Data) -> Data:
    mtu = int((NET / str(data["interface"]) / "mtu").read_text())
    return {"interface": data["interface"], "mtu": mtu}


def _state(data: Data) -> list[str]:
    return ["ip", "link", "set", str(data["interface"]), "up" if data["up"] else "down"]


def _state_before(_: str, data: Data) -> Data:
    flags = int((NET / str(data["interface"]) / "flags").read_text(), 16)
    return {"interface": data["interface"], "up": bool(flags & IFF_UP)}


def _drop(_: Data) -> list[str]:
    return ["sysctl", "-w", "vm.drop_caches=3"]


def _make(cluster: str, data: Data) -> None:
    files.write({"cluster": cluster, "files": {}, "temp_dir": str(data["temp_dir"])})


def _made_before(cluster: str, data: Data) -> Data | None:
    """Which of the directories exist not yet; None when both exist, as of a cluster that runs."""
    state, temporary = files.home(cluster), Path(str(data["temp_dir"]))
    new = {"state": not state.exists(), "temp": not os.path.lexists(temporary)}
    return {**data, **new} if any(new.values()) else None


def _remove(cluster: str, data: Data) -> None:
    if data["temp"]:
        stop.remove_folder(Path(str(data["temp_dir"])))
    if data["state"]:
        stop.empty(cluster)


def _end(cluster: str, data: Data) -> None:
    roles = [str(data["role"])] if data["role"] else []
    answer = stop.stop({"cluster": cluster, "roles": roles, "run": str(data["run"])})
    if left := [str(p["pid"]) for p in map(jsontext.table, jsontext.rows(answer["remaining"]))]:
        raise NotUndone(f"processes still running after SIGKILL: {', '.join(left)}")


def _unbuild(cluster: str, data: Data) -> None:
    _end(cluster, {"role": venvs.ROLE, "run": data["run"]})
    venvs.place(str(data["venv"])).restore(str(data["run"]))


_LINK = {"interface": is_text(INTERFACE)}
_FILES = {"temp_dir": is_text(TEMPORARY)}

TABLE: Mapping[str, Row] = {
    "link-mtu": Row(
        {**_LINK, "mtu": is_number(MTU)},
        undo=_program(_mtu),
        do=_program(_mtu),
        before=_mtu_before,
        argv=_mtu,
        root=True,
    ),
    "link-state": Row(
        {**_LINK, "up": is_flag},
        undo=_program(_state),
        do=_program(_state),
        before=_state_before,
        argv=_state,
        root=True,
    ),
    # A cache fills again without help.
    "drop-caches": Row({}, do=_program(_drop), argv=_drop, root=True),
    # The state directory and `temp_dir`; `files` makes them, and records which it made.
    "make-files": Row(_FILES, do=_make, before=_made_before),
    "files": Row({**_FILES, "state": is_flag, "temp": is_flag}, undo=_remove),
    # Started by launch.py; the processes of a run with this role, "" for all.
    "unit": Row({"run": is_text(RUN), "role": is_text(re.compile("[a-z]{0,20}"))}, undo=_end),
    # Built by install.py: what the run has not completed.
    "venv": Row({"venv": venvs.is_place, "run": is_text(RUN)}, undo=_unbuild),
}
UNDONE_BY = {"make-files": "files"}  # else a change is undone by its own name
