"""The words that shapes are made of: strict values with bounds, so that nothing above meets worse.

A whole number is no more than a database or a JSON reader elsewhere can hold, a time is one that
a calendar has, an address parses, a name has no control character.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LATEST = 253_370_764_800.0  # seconds since the epoch: the year 9999, where calendars end
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$"


class Shape(BaseModel):
    """An object with these keys; others that it has are of no interest."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True)


def _address(
    parse: type[IPv4Interface] | type[IPv6Interface] | type[IPv6Address],
) -> AfterValidator:
    def check(value: str) -> str:
        parse(value)  # its ValueError is pydantic's
        return value

    return AfterValidator(check)


T = TypeVar("T")
Rows = Annotated[tuple[T, ...], Field(strict=False)]  # JSON has lists
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Bits = Annotated[int, Field(strict=True, ge=0, lt=2**64)]
Limit = Annotated[int, Field(strict=True, ge=-1, lt=2**63)]  # -1: none
Pid = Annotated[int, Field(strict=True, gt=0, lt=2**31)]
Uid = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Port = Annotated[int, Field(strict=True, ge=0, lt=2**16)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Reading = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1e6)]  # of a GPU
Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Time = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=LATEST)]
Name = Annotated[str, Field(max_length=1024, pattern=PRINTABLE)]
Digits = Annotated[str, Field(pattern=r"^[0-9]{1,3}$")]
Text = Annotated[str, Field(max_length=2**16)]
CommandLine = Annotated[str, Field(max_length=2**16, pattern=r"\S")]
Ipv4 = Annotated[str, Field(max_length=64), _address(IPv4Interface)]
Ipv6 = Annotated[str, Field(max_length=128), _address(IPv6Interface)]
Gid = Annotated[str, Field(max_length=64), _address(IPv6Address)]
