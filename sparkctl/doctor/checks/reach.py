"""Reaching a node: SSH, its clock, sudo, and what it is."""

from __future__ import annotations

from collections.abc import Iterator

from sparkctl.cluster.known import Missing
from sparkctl.doctor.check import Check, per_node
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
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
    seconds = view.login.get(name)
    if seconds is None:
        raise Missing("no login was tried")
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


def facts(view: View, name: str) -> Iterator[Finding]:
    """The node tells its facts, all of them: a probe that hangs is no node out of reach."""
    if error := view.unreadable.get(name):
        where = f"python3 over SSH on {view.node(name).host}"
        yield fail(
            f"answers by SSH, and its facts could not be read: {error.message}",
            Evidence("the node's facts", error.message, where),
            Remedy(
                error.hint
                or "python3 3.9 or newer has to be there and to answer: look for what"
                " hangs or is short of memory",
                ("python3 --version", "uptime", "sudo dmesg | tail"),
            ),
        )
        return
    unread = view.facts(name)["unread"]
    for group, why in unread.items():
        if why.startswith(TimeoutError.__name__):
            yield warn(
                f"{group}: {why.partition(': ')[2]}, something hangs there",
                Evidence("an answer in time", why, f"the node's facts, {group}"),
                Remedy("find what hangs: a mount whose server is gone, a wedged driver",
                       ("ps -eo pid,stat,wchan:30,args | grep ' D'", "sudo dmesg | tail")),
            )  # fmt: skip
        else:
            yield unknown(f"{group}: {why}")
    if not unread:
        yield ok("all of its facts could be read")


def platform(view: View, name: str) -> Iterator[Finding]:
    """What the node is; told, not judged."""
    found, kernel = view.facts(name), view.fact(name, "system", "kernel")
    yield info(f"{found['os']}, kernel {kernel}, {found['machine']}, Python {found['python']}")


def sudo(view: View, name: str) -> Iterator[Finding]:
    """Only `doctor --fix` needs it."""
    has = view.group(name, "sudo")
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
    yield from per_node(view, lambda name: _skew(view, name, reference))


def _skew(view: View, name: str, reference: tuple[float, float]) -> Iterator[Finding]:
    head = view.inventory.head.name
    if name == head:
        return
    low, high = _offset(view, name)
    # The least skew that the two intervals leave possible.
    skew = max(0.0, low - reference[1], reference[0] - high)
    if skew <= SKEW_WARN:
        yield ok(f"within {SKEW_WARN:g} s of {head}'s", node=name)
        return
    say = fail if skew > SKEW_FAIL else warn
    yield say(
        f"the clock is {skew:.0f} s apart from {head}'s",
        Evidence(f"within {SKEW_WARN:g} s", f"{skew:.0f} s", "the time on both nodes"),
        Remedy("let both follow NTP", ("sudo timedatectl set-ntp true", "timedatectl status")),
        node=name,
    )


def _offset(view: View, name: str) -> tuple[float, float]:
    """The bounds of a node's clock minus the controller's, in seconds."""
    found = view.facts(name)
    if name not in view.asked:
        raise Missing(f"when {name} was asked for its time is not known")
    before, after = view.asked[name]
    return found["time_end"] - after, found["time"] - before


CHECKS = (
    Check("reach.ssh", "node", ssh, preflight=True),
    Check("reach.facts", "node", facts, preflight=True),
    Check("reach.sudo", "node", sudo),
    Check("host.platform", "node", platform),
    Check("host.clock", "cluster", clock, preflight=True),
)
