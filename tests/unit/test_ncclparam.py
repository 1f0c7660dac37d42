"""Numbers as C reads them: strtoll with base 0, and atoi."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sparkctl.fabric.ncclparam import leading_int, number


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (0, ["", "true", "08", "0x", "0xg", "--1", "+-1", "- 1", '"3"']),
        (0, ["\N{NO-BREAK SPACE}3", "\N{ARABIC-INDIC DIGIT THREE}"]),
        (1, ["1", "1,2", "018"]),
        (3, ["3.7", " 3 x"]),
        (8, ["010", "+8"]),
        (16, ["0x10", "020"]),
        (-8, ["-8", " -8 x", "-010"]),
        (-16, ["-0x10"]),
    ],
)
def test_numbers_as_strtoll_reads_them(value: int, texts: list[str]) -> None:
    assert {text: number(text) for text in texts} == dict.fromkeys(texts, value)


TEXTS = st.one_of(
    st.text(alphabet=" \t\n\v\f\r+-0123456789abcdefgxX.", max_size=24),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 2**70).map(hex),
    st.integers(0, 2**70).map(lambda n: f"0{n:o}"),
)


@given(TEXTS)
@example("0x")
@example(str(2**31))
@example(str(2**63 - 1))
@example(str(2**63))
@example(str(-(2**63)))
@example(str(-(2**63) - 1))
def test_numbers_as_the_c_library_reads_them(text: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.strtoll.restype = ctypes.c_longlong
    ctypes.set_errno(0)
    value = libc.strtoll(text.encode(), None, 0)
    assert number(text, default=-7) == (-7 if ctypes.get_errno() else value)
    assert leading_int(text) == libc.atoi(text.encode())


def test_a_number_of_any_length_is_read() -> None:
    assert number("9" * 5000, default=-1) == -1
    assert number("0x" + "f" * 5000, default=-1) == -1
    assert leading_int("9" * 5000) == -1
    assert leading_int("-" + "9" * 5000) == 0
