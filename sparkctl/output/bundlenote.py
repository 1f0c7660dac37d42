"""A support bundle's README.txt: what is inside, what is masked, and what is missing."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from sparkctl import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.output.bundle import Gathered
    from sparkctl.output.sealed import Seal

WIDTH = 80
READ_IT = "Read it before you send it: a secret that has no known name or form is not recognized."
FILES = {
    "doctor.html, doctor.json": "what `sparkctl doctor` finds; open the page in a browser",
    "plan.txt, plan.json": "the commands and the environment that `up` would use",
    "status.json": "what `sparkctl status --json` shows",
    "inventory.json": "the inventory with its defaults, and the env layers",
    "facts/NODE.json": "what the node answered about itself",
    "journal/NODE.json": "the changes that sparkctl or root can take back there, and what was"
    " started",
    "logs/NODE/SERVICE-REPLICA-KIND.log": "the last log of each unit: its first 256 KB and its last"
    " 768 KB",
    "logs/NODE/kernel.log": "the GPU driver's errors in the kernel's log, with their times (Unix)",
    "controller/": "versions, and the logs of the last runs of sparkctl on this machine",
}
MASKED = (
    "Masked with ****: values of secret names (token, key, password, …), recognizable tokens,"
    " private keys, passwords in URLs, Bearer headers, all secrets of the inventory and its layers,"
    " and public addresses. User names are `user`, host names `host-of-NODE`, `host-of-controller`"
    " and `host-of-another-machine`, their domain is `domain`, home folders `/home/user`. Names of"
    " the inventory's nodes and private addresses stay. Hashes by which a short secret could be"
    " guessed are left out, and so is the rest of a line after 2048 characters. Of a node whose"
    " accounts could not be read user names are recognized by their form alone, as in /home/NAME."
)


def readme(found: Gathered, seal: Seal, now: float) -> str:
    """The text; every line is masked."""
    return seal.text("\n".join(_lines(found, now)) + "\n")


def _lines(found: Gathered, now: float) -> Iterator[str]:
    inventory = found.snapshot.inventory
    when = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
    yield f"Support bundle of cluster {inventory.cluster}, {when}, sparkctl {__version__}"
    yield ""
    yield from _wrapped(READ_IT + " Then attach the zip file to your message.")
    yield ""
    yield "Inside"
    for name, what in FILES.items():
        yield f"  {name}"
        yield from textwrap.wrap(what, WIDTH, initial_indent="      ", subsequent_indent="      ")
    yield ""
    yield from _wrapped(MASKED)
    yield ""
    yield "Nodes"
    for node in inventory.nodes:
        error = found.failed.get(node.name)
        yield f"  {node.name}: {f'not read ({error.code})' if error else 'read'}"
        if error and node.name not in found.snapshot.unreadable:  # else it quotes the answer
            yield from textwrap.wrap(
                error.message, WIDTH, initial_indent="      ", subsequent_indent="      "
            )
    yield from (f"imitated: {what}" for what in inventory.imitated)
    yield ""
    yield "Left out" if found.left_out else "Nothing else is left out."
    for what, why in found.left_out.items():
        yield f"  {what}"
        yield from textwrap.wrap(why, WIDTH, initial_indent="      ", subsequent_indent="      ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)
