"""The matcher against NCCL's C semantics, written out here character by character.

The rules of NCCL's own semantics as C has them (parseStringList, matchIf, matchPort, matchIfList
and their callers), one parser for each grammar; nothing is shared with the matcher.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.fabric.ifname import Interface, select_interfaces
from sparkctl.fabric.matcher import Device, select_hcas

NUL = "\0"
ANY_PORT = -1


@dataclass
class NetIf:
    prefix: str
    port: int


def c_atoi(text: str) -> int:
    i = 0
    while text[i] in " \t\n\v\f\r":
        i += 1
    sign = 1
    if text[i] in "+-":
        sign = -1 if text[i] == "-" else 1
        i += 1
    value = 0
    while "0" <= text[i] <= "9":
        value = value * 10 + ord(text[i]) - ord("0")
        i += 1
    value = max(-(2**63), min(sign * value, 2**63 - 1))  # strtol saturates
    low = value & 0xFFFFFFFF  # and atoi keeps an int of it
    return low - 2**32 if low & 0x80000000 else low


def c_parse_until_2_30_4(text: str, max_list: int) -> list[NetIf]:
    found: list[NetIf] = []
    prefix = ""
    ptr = 0
    buffer = text + NUL
    while True:
        c = buffer[ptr]
        if c == ":":
            if prefix:
                found.append(NetIf(prefix, c_atoi(buffer[ptr + 1 :])))
                prefix = ""
            while c not in ("," + NUL):
                ptr += 1
                c = buffer[ptr]
        elif c in ("," + NUL):
            if prefix:
                found.append(NetIf(prefix, ANY_PORT))
                prefix = ""
        else:
            prefix += c
        ptr += 1
        if not (len(found) < max_list and c != NUL):
            return found


def c_parse_from_2_30_7(text: str, max_list: int) -> list[NetIf]:
    """name:port:rail:plane; the rail and the plane select nothing."""
    found: list[NetIf] = []
    buffer = text + NUL
    ptr = 0
    while buffer[ptr] != NUL and len(found) < max_list:
        fields = [""]
        while buffer[ptr] not in ("," + NUL):
            if buffer[ptr] == ":":
                fields.append("")
            else:
                fields[-1] += buffer[ptr]
            ptr += 1
        if buffer[ptr] == ",":
            ptr += 1
        if fields[0] != "":
            given_port = len(fields) > 1 and fields[1] != ""
            found.append(NetIf(fields[0], c_atoi(fields[1] + NUL) if given_port else ANY_PORT))
    return found


def c_strncmp(a: str, b: str, length: int) -> int:
    for i in range(length):
        x = a[i] if i < len(a) else NUL
        y = b[i] if i < len(b) else NUL
        if x != y:
            return ord(x) - ord(y)
        if x == NUL:
            return 0
    return 0


def c_match_if(name: str, ref: str, exact: bool) -> bool:
    return c_strncmp(name, ref, len(name) + 1 if exact else len(ref)) == 0


def c_match_port(one: int, two: int) -> bool:
    return ANY_PORT in (one, two) or one == two


def c_match_if_list(name: str, port: int, listed: list[NetIf], exact: bool) -> bool:
    if len(listed) == 0:
        return True
    return any(
        c_match_if(name, ref.prefix, exact) and c_match_port(port, ref.port) for ref in listed
    )


def c_select(value: str, names: list[tuple[str, int]], most: int, *, rail: bool) -> list[str]:
    search_not = value[:1] == "^"
    if search_not:
        value = value[1:]
    exact = value[:1] == "="
    if exact:
        value = value[1:]
    listed = (c_parse_from_2_30_7 if rail else c_parse_until_2_30_4)(value, most)
    return [name for name, port in names if c_match_if_list(name, port, listed, exact) ^ search_not]


PARTS = st.sampled_from(
    ["^", "=", ",", ":", " ", '"', ";", "1", "2", "0", "-1", "4294967297", "roce", "rocep1s0f0",
     "roceP2", "mlx5_1", "mlx5_10", "enp1", "enP7s7", "enp1s0f0np0", "lo", "docker0", "p", "s0f0"]
)  # fmt: skip
SIGNS = st.sampled_from(["", "^", "=", "^="])
NAMES = st.sampled_from(
    ["rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "mlx5_1", "mlx5_10", "a", "b1", "abc", "enp1"]
)
ENTRIES = st.tuples(NAMES, st.sampled_from(["", ":", ":1", ":2", ":1:0", "::3", ":1:0:2:9"]))
VALUES = st.one_of(
    st.lists(PARTS, max_size=14).map("".join),
    st.text(alphabet="^=,: a1" + string.ascii_lowercase[:3], max_size=12),
    st.tuples(SIGNS, st.lists(ENTRIES.map("".join), max_size=5).map(",".join)).map("".join),
    st.lists(st.sampled_from(["a", "b1", "mlx5_1"]), min_size=30, max_size=40).map(",".join),
    st.lists(NAMES, max_size=2).map(lambda tail: ",".join([*map(str, range(31)), *tail])),
)
STATES = st.sampled_from(["ACTIVE", "ACTIVE", "DOWN"])


@given(VALUES, st.lists(st.tuples(NAMES, st.integers(1, 2), STATES), max_size=8), st.booleans())
def test_hcas_as_nccl_selects_them(
    value: str, ports: list[tuple[str, int, str]], rail: bool
) -> None:
    version = (2, 30, 7) if rail else (2, 30, 4)
    found = select_hcas(value, [Device(*port) for port in ports], version)
    alive = [(name, port) for name, port, state in ports if state == "ACTIVE"]
    assert found.selected == c_select(value, alive, 32, rail=rail)
    assert [v.name for v in found.devices] == [name for name, _, _ in ports]
    assert all(v.reason for v in found.devices)


@given(
    VALUES.filter(lambda v: len(v) > 1),
    st.lists(st.tuples(NAMES, st.booleans(), st.booleans()), max_size=20, unique_by=lambda i: i[0]),
    st.sampled_from([(2, 28, 2), (2, 28, 3), (2, 30, 7)]),
)
def test_interfaces_as_nccl_selects_them(
    value: str, interfaces: list[tuple[str, bool, bool]], version: tuple[int, ...]
) -> None:
    found = select_interfaces(value, [Interface(*i) for i in interfaces], version)
    usable = [
        (name, ANY_PORT)
        for name, up, addressed in interfaces
        if addressed and (up or version == (2, 28, 2))
    ]
    wanted = c_select(value, usable, 16, rail=version == (2, 30, 7))
    assert found.selected == wanted
    assert all(v.reason for v in found.devices)
