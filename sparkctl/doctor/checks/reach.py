"""Reaching a node: SSH, its clock, sudo, and what it is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check, per_node
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import Missing, known, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View

SLOW_LOGIN = 3.0  # seconds; a login on a healthy LAN takes some tenths
SKEW_WARN, SKEW_FAIL = 2.0, 60.0  # seconds between two clocks
Bounds = tuple[float, float]  # of a clock minus the controller's, in seconds
HERE: Bounds = (0.0, 0.0)  # the controller's own


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
    unread = view.facts(name).unread
    for group, why in unread.items():
        if why.startswith(TimeoutError.__name__):
            yield warn(
                f"{group}: {why.partition(': ')[2]}, something hangs there",
                Evidence("an answer in time", why, f"the node's facts, {group}"),
                Remedy("find what hangs: a mount whose server is gone, a wedged driver",
                       ("ps -eo pid,stat,wchan:32,args --no-headers | awk '$2 ~ /^D/'",
                        "sudo dmesg | tail")),
            )  # fmt: skip
        else:
            yield unknown(f"{group}: {why}")
    if not unread:
        yield ok("all of its facts could be read")


def platform(view: View, name: str) -> Iterator[Finding]:
    """What the node is; told, not judged."""
    found, kernel = (
        view.facts(name),
        required(known(view.facts(name).system).kernel, "system.kernel"),
    )
    yield info(f"{found.os}, kernel {kernel}, {found.machine}, Python {found.python}")


def sudo(view: View, name: str) -> Iterator[Finding]:
    """Only `doctor --fix` needs it."""
    has = known(view.facts(name).sudo)
    user = view.facts(name).user
    if has:
        yield ok(f"{user} may act as root")
    else:
        yield info(
            f"{user} may not act as root without a password: `doctor --fix` can change nothing",
            Evidence("sudo --non-interactive true succeeds", "it does not", "sudo"),
        )


def clock(view: View) -> Iterator[Finding]:
    """Each node's clock against the median of all, as exactly as the round trips allow.

    Where the nodes are an even number the controller's own clock decides which are off; a single
    node's is held against no other, and the controller's is told, not judged.
    """
    offsets = _offsets(view)
    reference = _median(offsets)
    yield from per_node(view, lambda name: _skew(view, name, reference if offsets[1:] else None))
    if (skew := _apart(HERE, reference)) > SKEW_WARN:
        yield info(
            f"this machine's clock is {skew:.0f} s apart from the nodes'",
            Evidence(f"within {SKEW_WARN:g} s", f"{skew:.0f} s", "the time here and on the nodes"),
        )


def _median(offsets: list[Bounds]) -> Bounds:
    """The clock in the middle; with the controller's, so that there is one."""
    odd = offsets if len(offsets) % 2 else [*offsets, HERE]
    return sorted(odd, key=sum)[len(odd) // 2]


def _apart(one: Bounds, other: Bounds) -> float:
    """The least skew that two intervals leave possible, in seconds."""
    return max(0.0, one[0] - other[1], other[0] - one[1])


def _skew(view: View, name: str, reference: Bounds | None) -> Iterator[Finding]:
    own = _offset(view, name)
    if reference is None:
        return
    skew = _apart(own, reference)
    if skew <= SKEW_WARN:
        yield ok(f"within {SKEW_WARN:g} s of the clocks' median", node=name)
        return
    say = fail if skew > SKEW_FAIL else warn
    yield say(
        f"the clock is {skew:.0f} s apart from the median of the nodes' and this machine's",
        Evidence(f"within {SKEW_WARN:g} s", f"{skew:.0f} s", "the time on all nodes and here"),
        Remedy("let all nodes follow NTP", ("sudo timedatectl set-ntp true", "timedatectl status")),
        node=name,
    )


def _offsets(view: View) -> list[Bounds]:
    """Those that are known, also of nodes that were not asked about."""
    found = []
    for name in view.reached:
        with suppress(Missing):
            found.append(_offset(view, name))
    return found


def _offset(view: View, name: str) -> Bounds:
    """The bounds of a node's clock minus the controller's, in seconds."""
    found = view.facts(name)
    if name not in view.asked:
        raise Missing(f"when {name} was asked for its time is not known")
    before, after = view.asked[name]
    return found.time_end - after, found.time - before


CHECKS = (
    Check("reach.ssh", "node", ssh, preflight=True, contact=True),
    Check("reach.facts", "node", facts, preflight=True, contact=True),
    Check("reach.sudo", "node", sudo),
    Check("host.platform", "node", platform),
    Check("host.clock", "cluster", clock, preflight=True),
)
