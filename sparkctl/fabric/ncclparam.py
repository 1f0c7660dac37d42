"""How NCCL reads a number from its environment: C's strtoll with base 0 (src/misc/param.cc)."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


def number(text: str) -> int:
    """The number at the beginning of `text`: 0x is hexadecimal, 0 octal; 0 where there is none.

    So `true` and the empty text are 0, and `08` is 0 too: 8 is no octal digit.
    """
    match = NUMBER.match(text)
    if not match:
        return 0
    sign, hexadecimal, octal, decimal = match.groups()
    digits, base = (hexadecimal, 16) if hexadecimal else (octal, 8) if octal else (decimal, 10)
    value = int(digits, base)
    return -value if sign == "-" else value


def leading_int(text: str) -> int:
    """C's atoi: the decimal number at the beginning, 0 where there is none."""
    match = re.match(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", text)
    return int(match[1]) if match else 0
