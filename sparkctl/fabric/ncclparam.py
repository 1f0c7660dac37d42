"""How NCCL reads numbers: its parameters with strtoll, a port with atoi (src/misc/param.cc)."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")
DECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?)0*([0-9]*)")
LONG = 2**63  # the end of a 64-bit long
DIGITS = 20  # more significant digits are beyond it for certain


def number(text: str, default: int = 0) -> int:
    """The number at the beginning of `text`: 0x is hexadecimal, 0 octal; 0 where there is none.

    So `true` and the empty text are 0, and `08` is 0 too: 8 is no octal digit. What
    64 bits do not hold leaves the parameter at its `default`.
    """
    match = NUMBER.match(text)
    if not match:
        return 0
    sign, hexadecimal, octal, decimal = match.groups()
    if decimal and len(decimal) > DIGITS:
        return default
    digits, base = (hexadecimal, 16) if hexadecimal else (octal, 8) if octal else (decimal, 10)
    value = int(f"{sign}{digits}", base)
    return value if -LONG <= value < LONG else default


def leading_int(text: str) -> int:
    """C's atoi with glibc: the decimal number at the beginning, 0 where there is none.

    It is read as a 64-bit long, which saturates, and cut to 32 bits: 4294967297 is 1.
    """
    match = DECIMAL.match(text)
    sign, digits = match.groups() if match else ("", "")
    value = LONG if len(digits) > DIGITS else int(digits or "0")
    value = max(-value, -LONG) if sign == "-" else min(value, LONG - 1)
    return (value + 2**31) % 2**32 - 2**31
