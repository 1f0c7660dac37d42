"""Whether a node can be reached and read: SSH, its facts, sudo, and its platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.clock import clock
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import Missing, known, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.unread import Unread

SLOW_LOGIN = 3.0  # seconds; a login on a healthy LAN takes some tenths
HANGING = "ps -eo pid,stat,wchan:32,args --no-headers | awk '$2 ~ /^D/'"


def ssh(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The SSH login works, and is fast."""
    host = snapshot.node(name).host
    if error := snapshot.errors.get(name):
        yield fail(
            f"unreachable: {error.message}",
            Evidence("a login", "none", f"ssh {host}"),
            Remedy(error.hint or f"run `ssh {host}` to see why"),
            code="unreachable",
            data={"host": host, "error": error.code},
        )
        return
    seconds = snapshot.login.get(name)
    if seconds is None:
        raise Missing("no login was tried", what="login", kind="unasked")
    if seconds <= SLOW_LOGIN:
        yield ok(f"SSH login on {host} took {seconds:.2f} s")
        return
    yield warn(
        f"SSH login on {host} took {seconds:.1f} s",
        Evidence(f"under {SLOW_LOGIN:g} s", f"{seconds:.1f} s", f"ssh to {host}"),
        Remedy(
            "look for a name server that times out (UseDNS in sshd_config), for a login script"
            " that mounts or waits, and for a lack of memory",
        ),
        code="slow-login",
        data={"host": host, "expected": SLOW_LOGIN, "got": round(seconds, 1)},
    )


def facts(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """All facts of the node could be read: a node whose probe hangs is not unreachable."""
    if error := snapshot.unreadable.get(name):
        yield fail(
            f"SSH works, but the node's facts could not be read: {error.message}",
            Evidence("facts", "none", f"python3 over SSH on {snapshot.node(name).host}"),
            Remedy(
                error.hint
                or "install python3 3.9 or newer; if it is there, look for what hangs, and for a"
                " lack of memory",
                ("python3 --version", "uptime", "sudo dmesg | tail"),
            ),
            code="facts-unread",
            data={"error": error.code},
        )
        return
    gaps = snapshot.facts(name).gaps
    for gap in gaps.values():
        yield _gap(gap)
    if not gaps:
        yield ok("all facts were read")


def _gap(gap: Unread) -> Finding:
    if gap.kind != "timeout":
        return unknown(str(gap), data={"what": gap.what, "kind": gap.kind})
    return warn(
        f"reading {gap.what} timed out: {gap.reason}",
        Evidence("an answer in time", "none", f"the node's facts, {gap.what}"),
        Remedy(
            "find what hangs: a mount whose server is gone, a wedged driver",
            (HANGING, "sudo dmesg | tail"),
        ),
        code="timeout",
        data={"what": gap.what},
    )


def platform(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The node's system, for a report."""
    found = snapshot.facts(name)
    kernel = required(known(found.system).kernel, "system.kernel")
    yield info(
        f"{found.os}, kernel {kernel}, {found.machine}, Python {found.python}",
        code="platform",
        data={
            "os": found.os,
            "kernel": kernel,
            "machine": found.machine,
            "python": found.python,
        },
    )


def sudo(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The SSH user may run sudo, which `doctor --fix` alone requires."""
    user = snapshot.facts(name).user
    if known(snapshot.facts(name).sudo):
        yield ok(f"{user} may act as root")
        return
    yield info(
        f"{user} may not run sudo without a password; `doctor --fix` cannot change this node",
        Evidence("sudo --non-interactive true succeeds", "it fails", "sudo"),
        code="no-sudo",
        data={"user": user},
    )


CHECKS = (
    Check("reach.ssh", "node", ssh, preflight=True, contact=True),
    Check("reach.facts", "node", facts, preflight=True, contact=True),
    Check("reach.sudo", "node", sudo),
    Check("host.platform", "node", platform),
    Check("host.clock", "cluster", clock, preflight=True),
)
