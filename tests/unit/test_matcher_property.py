"""The matcher against NCCL's own C, transcribed here character by character.

From NCCL's src/misc/utils.cc (parseStringList, matchIf, matchPort, matchIfList, to 2.30.4) and
their use in ncclIbInit and ncclFindInterfaces; the grammar of 2.30.7 differs in the port alone.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.fabric.matcher import Device, Interface, select_hcas, select_interfaces

NUL = "\0"


@dataclass
class NetIf:
    prefix: str
    port: int


def c_atoi(text: str) -> int:
    i = 0
    while i < len(text) and text[i] in " \t\n\v\f\r":
        i += 1
    sign = 1
    if i < len(text) and text[i] in "+-":
        sign = -1 if text[i] == "-" else 1
        i += 1
    value = 0
    while i < len(text) and "0" <= text[i] <= "9":
        value = value * 10 + ord(text[i]) - ord("0")
        i += 1
    return sign * value


def c_parse_string_list(text: str, max_list: int, *, rail: bool) -> list[NetIf]:
    found: list[NetIf] = []
    prefix = ""
    ptr = 0
    buffer = text + NUL
    while True:
        c = buffer[ptr]
        if c == ":":
            if prefix:
                port = c_atoi(buffer[ptr + 1 :])
                if rail and buffer[ptr + 1] in ":," + NUL:
                    port = -1
                found.append(NetIf(prefix, port))
                prefix = ""
            while c not in ("," + NUL):
                ptr += 1
                c = buffer[ptr]
        elif c in ("," + NUL):
            if prefix:
                found.append(NetIf(prefix, -1))
                prefix = ""
        else:
            prefix += c
        ptr += 1
        if not (len(found) < max_list and c != NUL):
            return found


def c_strncmp(a: str, b: str, length: int) -> bool:
    for i in range(length):
        x = a[i] if i < len(a) else NUL
        y = b[i] if i < len(b) else NUL
        if x != y:
            return False
        if x == NUL:
            return True
    return True


def c_match_if_list(name: str, port: int, listed: list[NetIf], *, exact: bool) -> bool:
    if not listed:
        return True
    for ref in listed:
        length = len(name) + 1 if exact else len(ref.prefix)
        same_port = port == -1 or ref.port in (-1, port)
        if c_strncmp(name, ref.prefix, length) and same_port:
            return True
    return False


def c_select(value: str, names: list[tuple[str, int]], most: int, *, rail: bool) -> list[str]:
    search_not = value.startswith("^")
    if search_not:
        value = value[1:]
    exact = value.startswith("=")
    if exact:
        value = value[1:]
    listed = c_parse_string_list(value, most, rail=rail)
    return [n for n, port in names if c_match_if_list(n, port, listed, exact=exact) ^ search_not]


PARTS = st.sampled_from(
    ["^", "=", ",", ":", " ", '"', ";", "1", "2", "0", "-1", "roce", "rocep1s0f0", "roceP2",
     "mlx5_1", "mlx5_10", "enp1", "enP7s7", "enp1s0f0np0", "lo", "docker0", "p", "s0f0"]
)  # fmt: skip
VALUES = st.one_of(
    st.lists(PARTS, max_size=14).map("".join),
    st.text(alphabet="^=,: a1" + string.ascii_lowercase[:3], max_size=12),
    st.lists(st.sampled_from(["a", "b1", "mlx5_1"]), min_size=30, max_size=40).map(",".join),
)
NAMES = st.sampled_from(
    ["rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "mlx5_1", "mlx5_10", "a", "b1", "abc", "enp1"]
)


@given(VALUES, st.lists(st.tuples(NAMES, st.integers(1, 2)), max_size=8), st.booleans())
def test_hcas_as_nccl_selects_them(value: str, ports: list[tuple[str, int]], rail: bool) -> None:
    version = (2, 30, 7) if rail else (2, 30, 4)
    found = select_hcas(value, [Device(name, port) for name, port in ports], version)
    assert found.selected == c_select(value, ports, 32, rail=rail)
    assert [v.name for v in found.devices] == [name for name, _ in ports]
    assert all(v.reason for v in found.devices)


@given(VALUES.filter(lambda v: len(v) > 1), st.lists(NAMES, max_size=20))
def test_interfaces_as_nccl_selects_them(value: str, names: list[str]) -> None:
    found = select_interfaces(value, [Interface(name) for name in names])
    wanted = c_select(value, [(name, -1) for name in names], 16, rail=False)
    assert found.selected == wanted[:16]
