"""The options of `fabric match`: devices and interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import UsageError

if TYPE_CHECKING:
    from sparkctl.fabric.hca import Device
    from sparkctl.fabric.ifname import Interface

STATES = {"up": "ACTIVE", "active": "ACTIVE", "down": "DOWN", "init": "INIT", "armed": "ARMED"}


def check_question(*, hca: bool, devices: bool, ifname: bool, interfaces: bool, node: bool) -> None:
    """Raise UsageError unless the options concern one variable, and a node or listed devices.

    Each argument is whether its option was given.
    """
    if (hca or devices) and (ifname or interfaces):
        raise UsageError(
            "--hca and --device conflict with --ifname and --interface",
            hint="ask for one variable at a time",
            code="options-conflict",
        )
    listed = "--device" if devices else "--interface" if interfaces else None
    if node and listed:
        raise UsageError(
            f"--node and {listed} conflict",
            hint=f"leave {listed} out: --node takes the node's own",
            code="options-conflict",
        )
    if not node and listed is None:
        raise UsageError(
            f"{'--interface NAME' if ifname else '--device NAME'} or --node NODE is required",
            hint="for example: sparkctl fabric match --hca rocep1s0f0 --device rocep1s0f0",
            code="option-required",
        )


def device(text: str) -> Device:
    """NAME[:PORT][:STATE] as a port of an RDMA device. Raises UsageError."""
    from sparkctl.fabric.hca import Device

    name, *words = text.split(":")
    numbered = words and words[0].isascii() and words[0].isdecimal() and len(words[0]) < 4
    port = int(words.pop(0)) if numbered else 1
    return Device(name, port, _state(text, name, words))


def interface(text: str) -> Interface:
    """NAME[:up|down] as a network interface. Raises UsageError."""
    from sparkctl.fabric.ifname import Interface

    name, *words = text.split(":")
    return Interface(name, up=_state(text, name, words) == "ACTIVE")


def _state(text: str, name: str, words: list[str]) -> str:
    if not name or len(words) > 1 or (words and words[0].lower() not in STATES):
        raise UsageError(
            f"expected NAME, NAME:PORT or NAME:up|down, got {text!r}",
            hint="for example rocep1s0f0:1:down or enp1s0f0np0:up",
            code="device-malformed",
        )
    return STATES[words[0].lower()] if words else "ACTIVE"
