"""Reaching a node: SSH, its clock, sudo, and what it is."""

from __future__ import annotations

from collections.abc import Iterator

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.doctor.view import View

SLOW_LOGIN = 3.0  # seconds; a login on a healthy LAN takes some tenths
SKEW_WARN, SKEW_FAIL = 2.0, 60.0  # seconds between two nodes


def ssh(view: View, name: str) -> Iterator[Finding]:
    """The node can be logged in to, with a host key that is known."""
    node = view.node(name)
    if error := view.errors.get(name):
        yield fail(
            f"cannot be reached: {error.message}",
            Evidence("a login by SSH", error.message, f"ssh to {node.host}"),
            Remedy(error.hint or f"`ssh {node.host}` by hand shows why"),
        )
        return
    seconds = view.login[name]
    if seconds > SLOW_LOGIN:
        yield warn(
            f"the login took {seconds:.1f} s",
            Evidence(f"under {SLOW_LOGIN:g} s", f"{seconds:.1f} s", f"ssh to {node.host}"),
            Remedy(
                "look for a name server that does not answer (UseDNS in sshd_config), a login"
                " that mounts or asks something, or a node short of memory",
            ),
        )
    else:
        yield ok(f"{node.host} answers in {seconds:.2f} s")


def platform(view: View, name: str) -> Iterator[Finding]:
    """What the node is; told, not judged."""
    facts, system = view.facts(name), view.group(name, "system")
    yield info(
        f"{facts['os']}, kernel {system['kernel']}, {facts['machine']}, Python {facts['python']}"
    )


def sudo(view: View, name: str) -> Iterator[Finding]:
    """Only `doctor --fix` needs it."""
    has = view.group(name, "system")["sudo"]
    user = view.facts(name)["user"]
    if has:
        yield ok(f"{user} may act as root")
    else:
        yield info(
            f"{user} may not act as root without a password: `doctor --fix` can change nothing",
            Evidence("sudo --non-interactive true succeeds", "it does not", "sudo"),
        )


def clock(view: View) -> Iterator[Finding]:
    """Each node's clock against the head's, as exactly as the round trip allows."""
    head = view.inventory.head.name
    reference = _offset(view, head)
    for name in view.known:
        if name == head:
            continue
        low, high = _offset(view, name)
        # The least skew that the two intervals leave possible.
        skew = max(0.0, low - reference[1], reference[0] - high)
        if skew <= SKEW_WARN:
            yield ok(f"within {SKEW_WARN:g} s of {head}'s", node=name)
            continue
        say = fail if skew > SKEW_FAIL else warn
        yield say(
            f"the clock is {skew:.0f} s apart from {head}'s",
            Evidence(f"within {SKEW_WARN:g} s", f"{skew:.0f} s", "the time on both nodes"),
            Remedy("let both follow NTP", ("sudo timedatectl set-ntp true", "timedatectl status")),
            node=name,
        )


def _offset(view: View, name: str) -> tuple[float, float]:
    """The bounds of a node's clock minus the controller's, in seconds."""
    facts = view.facts(name)
    before, after = view.asked[name]
    return facts["time_end"] - after, facts["time"] - before


CHECKS = (
    Check("reach.ssh", "node", ssh, preflight=True),
    Check("reach.sudo", "node", sudo),
    Check("host.platform", "node", platform),
    Check("host.clock", "cluster", clock, preflight=True),
)
