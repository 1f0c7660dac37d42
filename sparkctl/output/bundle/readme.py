"""A support bundle's README.txt: what is inside, what is masked, and what is missing."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from sparkctl import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.output.bundle.contents import Gathered
    from sparkctl.output.bundle.seal import Seal

WIDTH = 80
HANG = " " * 6
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
    "logs/NODE/CLUSTER-RUN.NODE.KIND.log": "the first and last lines of a failed start's log, which"
    " this machine kept: the rollback removed it on the node",
    "logs/NODE/kernel.log": "the GPU driver's errors in the kernel's log, with their times (Unix)",
    "controller/": "versions, and the logs of the last runs of sparkctl on this machine",
}
MASKED = (
    "Masked with ****: values of secret names (token, key, password, …), recognizable tokens,"
    " private keys, passwords in URLs, Bearer headers, all secrets of the inventory and its layers,"
    " and public addresses. User names are `user`, host names `host-of-NODE`, `host-of-controller`"
    " and `host-of-another-machine`, their domain is `domain`, home folders `/home/user`. Names of"
    " the inventory's nodes, private addresses and accounts that name nobody, such as root, ubuntu"
    " and nvidia, stay. What identifies a machine stays too: GUIDs and MAC addresses, also within"
    " IPv6 addresses, the boot id, and the kernel's command line without its secrets. Hashes by"
    " which a short secret could be guessed are left out, and so is the rest of a line after 2048"
    " characters. Of a node whose accounts could not be read user names are recognized by their"
    " form alone, as in /home/NAME."
)


def readme(found: Gathered, seal: Seal, now: float) -> str:
    """The text; what is not its own is masked."""
    return "\n".join(_lines(found, seal, now)) + "\n"


def _lines(found: Gathered, seal: Seal, now: float) -> Iterator[str]:
    inventory, unreadable = found.snapshot.inventory, found.snapshot.unreadable
    when = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
    cluster = seal.text(inventory.cluster)
    yield f"Support bundle of cluster {cluster}, {when}, sparkctl {__version__}"
    yield ""
    yield from textwrap.wrap(f"{READ_IT} Then attach the zip file to your message.", WIDTH)
    yield ""
    yield "Inside"
    for name, what in FILES.items():
        yield from _item(name, what)
    yield ""
    yield from textwrap.wrap(MASKED, WIDTH, break_on_hyphens=False)
    yield ""
    yield "Nodes"
    for node in inventory.nodes:
        error = found.failed.get(node.name)
        state = f"not read ({error.code})" if error else "read"
        # A node that answered otherwise than expected is quoted in the error.
        why = seal.text(error.message) if error and node.name not in unreadable else ""
        yield from _item(f"{node.name}: {state}", why)
    yield ""
    if inventory.imitated:
        yield "Imitated"
        for what in inventory.imitated:
            yield from _item(seal.text(what))
        yield ""
    yield "Left out" if found.left_out else "Nothing else is left out."
    for what, why in found.left_out.items():
        yield from _item(seal.text(what), seal.text(why))


def _item(name: str, text: str = "") -> Iterator[str]:
    for words, first, others in ((name, HANG[:2], HANG), (text, HANG, HANG)):
        yield from textwrap.wrap(
            words, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
        )
