"""Locked memory: what a login over SSH may lock, and which line of which file decides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, Finding, fail, ok, warn
from sparkctl.doctor.limits import UNLIMITED, Rank, deciding, lowest, rank
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.unread import Unread, known, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.facts.hostgroups import LimitFiles, LimitLine
    from sparkctl.facts.node import NodeFacts

CAP_IPC_LOCK = 14  # linux/capability.h: RLIMIT_MEMLOCK does not bind its holder
MIB = 2**20
# NCCL registers its own buffers (NCCL_BUFFSIZE, 4 MiB a channel and peer), some hundred MiB: more
# than this may do, unless the application's are registered as well.
ENOUGH = 2**30
FOLDER = "/etc/security/limits.d"
DROP_IN = f"{FOLDER}/zz-memlock.conf"  # after most files that sites and packages have
UNIT = "/etc/systemd/system/ssh.service.d/memlock.conf"
AGAIN = "the next login has it, and a running cluster after `sparkctl down` and `sparkctl up`"
CONTAINER = "in a container pass --cap-add IPC_LOCK --ulimit memlock=-1"


def memlock(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """A login over SSH may lock memory without limit, as RDMA does; CAP_IPC_LOCK lifts one."""
    facts = snapshot.facts(name)
    system, user = known(facts.system), facts.user
    limit = system.limits.memlock
    data: Data = {"user": user, "limit": limit}
    if limit == UNLIMITED:
        yield ok("memlock is unlimited", data=data)
        return
    if required(system.capabilities, "system.capabilities") >> CAP_IPC_LOCK & 1:
        yield ok(f"memlock is {_size(limit)}, which CAP_IPC_LOCK lifts for {user}", data=data)
        return
    enough = limit >= ENOUGH
    effect = "may fail" if enough else "fails"
    lines = _deciding(facts)
    where = _where(lines) if lines and lowest(lines) == limit else ""
    by = f", by {where}" if where else ""
    yield (warn if enough else fail)(
        f"memlock is {_size(limit)} for {user} over SSH{by}: registering memory for RDMA {effect}"
        " with `Cannot allocate memory`",
        Evidence("unlimited", _size(limit), where or "ulimit -l of a login over SSH"),
        _remedy(facts, lines),
        code="memlock-limit",
        data={**data, "lines": [f"{line.path}:{line.line}" for line in lines]},
    )


def _size(limit: int) -> str:
    return f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 1024} KiB"


def _where(lines: tuple[LimitLine, ...]) -> str:
    return " and ".join(f"line {line.line} of {line.path}" for line in lines)


def _applies(files: LimitFiles) -> bool:
    """Whether a login reads the files, as far as is known."""
    return files.use_pam is not False and files.pam_limits is not False


def _deciding(facts: NodeFacts) -> tuple[LimitLine, ...]:
    """The lines that decide; none if that is not known, or no login reads them."""
    files = facts.limits
    if isinstance(files, Unread) or not _applies(files):
        return ()
    return deciding(files, facts.user, facts.uid)


def _remedy(facts: NodeFacts, lines: tuple[LimitLine, ...]) -> Remedy:
    files, user = facts.limits, facts.user
    if isinstance(files, Unread):
        return _drop_in(user, f"if no line for {user} in {FOLDER} says otherwise, ")
    if not _applies(files):
        return _of_service(files)
    if lines and lines[0].value is not None and _lifted(lines):
        return Remedy(
            f"{_where(lines)} lifts it already, so something else keeps it low: `ulimit` in a"
            f" start-up file of the shell, or an sshd without CAP_SYS_RESOURCE, as in a container;"
            f" {CONTAINER}",
            ("grep -n ulimit /etc/profile /etc/profile.d/* ~/.profile ~/.bashrc ~/.bash_profile",),
        )
    changed = tuple(line for line in lines if not _outranked(line, facts, files))
    if changed:
        return Remedy(f"change {_where(changed)}; {AGAIN}", tuple(map(_edit, changed)))
    unread = f"{', '.join(files.unread)} could not be read; unless a line there decides, "
    return _drop_in(user, unread if files.unread else "")


def _lifted(lines: tuple[LimitLine, ...]) -> bool:
    """Whether they lift both limits: soft is at most hard, and hard stays sshd's without a line."""
    kinds = {line.type for line in lines}
    return lowest(lines) == UNLIMITED and ("-" in kinds or kinds >= {"soft", "hard"})


def _outranked(line: LimitLine, facts: NodeFacts, files: LimitFiles) -> bool:
    """Whether a line for the user in the drop-in wins over this one."""
    if line.value is None or line.domain == facts.user:  # the latter would contradict it
        return False
    earlier = line.path.rpartition("/")[2] < DROP_IN.rpartition("/")[2]
    return rank(line, files, facts.user, facts.uid) is not Rank.USER or earlier


def _edit(line: LimitLine) -> str:
    """A command that makes this line of the file lift the limit of whom it names."""
    text = re.sub(r"[\\&|]", r"\\\g<0>", f"{line.domain} - memlock unlimited")
    return command("sudo", "sed", "-i", f"{line.line}s|.*|{text}|", line.path)


def _drop_in(user: str, unless: str) -> Remedy:
    """A line for the user wins over any for a group or `*`, in whichever file. It is appended: the
    file may have those of other users.
    """
    return Remedy(
        f"{unless}lift it for {user}; {AGAIN}; {CONTAINER}",
        (f"{command('echo', f'{user} - memlock unlimited')} | sudo tee -a {DROP_IN}",),
    )


def _of_service(files: LimitFiles) -> Remedy:
    """Without pam_limits a login has the limit of sshd itself."""
    why = (
        f"sshd has `UsePAM no` ({files.sshd_config})"
        if files.use_pam is False
        else "/etc/pam.d/sshd has no pam_limits"
    )
    text = f"{why}, so no file in /etc/security counts, and a login has sshd's own limit"
    if not files.systemd:
        return Remedy(f"{text}: start sshd after `ulimit -l unlimited`; {CONTAINER}")
    return Remedy(
        f"{text}: lift that; {AGAIN}",
        (
            f"sudo mkdir -p {UNIT.rpartition('/')[0]}",
            f"printf '[Service]\\nLimitMEMLOCK=infinity\\n' | sudo tee {UNIT}",
            "sudo systemctl daemon-reload && sudo systemctl restart ssh",
        ),
    )
