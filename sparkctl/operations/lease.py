"""The lease on a cluster: one command at a time changes it, and none after it has lost the lease.

It lies on every node that the command may change, so that each node can refuse a command that was
suspended while another took over (node/lease.py).
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sparkctl.ages import ago
from sparkctl.errors import (
    ConnectError,
    LeaseLostError,
    LockedError,
    RemoteError,
    SparkctlError,
    combined,
)
from sparkctl.facts.answers import LeaseTaken
from sparkctl.facts.calls import RELEASE_LEASE, RENEW_LEASE, TAKE_LEASE
from sparkctl.remote.fanout import GroupResult, each
from sparkctl.remote.interruptible import aside
from sparkctl.remote.reconnect import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparkctl.facts.groups import Holder
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session

SECONDS = 30.0  # that a lease holds without being renewed: a laptop's hiccup, not its sleep
INTERVAL = SECONDS / 3
TITLE = "take the lease"
SETTLE = 20.0  # seconds for calls that were interrupted to end; starts answer within one


class Lease:
    """A lease that is held; renewed until `close`, on each node separately: a slow or lost node
    must not let it expire on the others.
    """

    def __init__(
        self,
        session: Session,
        nodes: Sequence[Node],
        token: str,
        *,
        why: str = "",
        force: bool = False,
    ) -> None:
        self.token = token
        self.why, self.force = why, force
        self.who = f"{_account()}@{socket.gethostname()} (pid {os.getpid()})"
        self.when = time.strftime("%Y-%m-%d %H:%M:%S %z")
        self.taken: set[str] = set()
        self.untaken: set[str] = set()  # failed nodes: nothing to release
        self.unwritten: dict[str, RemoteError] = {}  # nodes without room for it, see `hold`
        self._session = session
        self._nodes = list(nodes)
        self._tokens: dict[str, str] = {}  # of `extend`
        self._lost: LeaseLostError | None = None
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Renew it from now on, where it was taken."""
        for node in self._held():
            self._renew_on(node)

    def _renew_on(self, node: Node) -> None:
        thread = threading.Thread(
            target=self._keep, args=(node,), name=f"lease on {node.name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def extend(self, nodes: Sequence[Node]) -> tuple[dict[str, SparkctlError], set[str]]:
        """Hold it on more nodes while it is held, as far as nobody else does.

        Returns the errors of nodes where it could not be taken, and the nodes on which it lies
        already: the same machines by another name. It has another token there, which shows them.
        """
        token = secrets.token_hex(16)
        answers = _take(self._session, nodes, _request(self, token, force=False))
        same = {n for n, a in answers.ok.items() if a.holder and self._is_own(a.holder)}
        others = [n for n in nodes if n.name not in same and n.name in answers.ok]
        held = [n for n in others if answers.ok[n.name].holder]
        if self.force and held:
            again = _take(self._session, held, _request(self, token, force=True))
            answers = GroupResult({**answers.ok, **again.ok}, {**answers.failed, **again.failed})
        failed = dict(answers.failed)
        for node in others:
            if node.name in failed:
                continue
            if error := self._refusal(node.name, answers.ok[node.name]):
                failed[node.name] = error
                continue
            self._tokens[node.name] = token
            self._nodes.append(node)
            self.taken.add(node.name)
            self._renew_on(node)
        return failed, same

    def _is_own(self, holder: Holder) -> bool:
        return (holder.who, holder.when, holder.why) == (self.who, self.when, self.why)

    def _refusal(self, node: str, answer: LeaseTaken) -> SparkctlError | None:
        if answer.holder is not None:
            return locked(self._session.inventory.cluster, node, answer.holder)
        if answer.unwritten:
            return _unwritten(node, answer.unwritten)
        return _shared(node) if answer.shared else None

    def _token(self, node: Node) -> str:
        return self._tokens.get(node.name, self.token)

    def guard(self, node: Node) -> dict[str, str]:
        """The token that a call which changes this node carries, so that the node can refuse it."""
        token = "" if node.name in self.unwritten else self._token(node)
        return {"cluster": self._session.inventory.cluster, "token": token}

    def check(self) -> None:
        """Raise LeaseLostError once a node has reported another holder."""
        if self._lost is not None:
            raise self._lost

    def refused(self, node: str, holder: Holder | None) -> LeaseLostError:
        """The error to raise when a node reports another holder; `check` raises it from now on."""
        self._lost = self._lost or LeaseLostError(
            f"lost the lease on cluster {self._session.inventory.cluster}"
            + (f" to {described(holder, time.time())}" if holder else " to another run"),
            node=node,
            hint="nothing was changed since; `sparkctl status` shows what runs",
        )
        return self._lost

    def confirm(self) -> None:
        """Ask the nodes now. Raises LeaseLostError when one reports another holder."""
        each(self._held(), self._renew, key=lambda node: node.name)
        self.check()

    def _held(self) -> list[Node]:
        return [n for n in self._nodes if n.name in self.taken - self.unwritten.keys()]

    def _keep(self, node: Node) -> None:
        while self._lost is None and not self._over.wait(INTERVAL):
            with suppress(SparkctlError):  # a node that is unreachable for a moment is asked again
                self._renew(node)

    def _renew(self, node: Node) -> None:
        request = {"token": self._token(node), "seconds": SECONDS}
        answer = self._session.ask(
            node, RENEW_LEASE, request, leased=False, title="renew the lease"
        )
        if not answer.held:
            self.refused(node.name, answer.holder)

    def close(self) -> dict[str, SparkctlError]:
        """Release it. Returns the errors of nodes that keep it until it expires, and raises none of
        them, so that it hides no other error.
        """
        self._over.set()
        settle(self._session.pool.changing())
        answers = self._session.ask_all(
            [n for n in self._nodes if n.name not in self.untaken],
            RELEASE_LEASE,
            lambda node: {"token": self._token(node)},
            leased=False,
            title="release the lease",
        )
        return {name: error for name, error in answers.failed.items() if name in self.taken}


@contextmanager
def hold(
    session: Session,
    note: Callable[[str], object],
    why: str,
    nodes: Sequence[Node],
    *,
    force: bool = False,
    partial: bool = False,
    read: bool = False,
    meanwhile: Callable[[], object] | None = None,
    during: Callable[[], object] | None = None,
) -> Iterator[dict[str, SparkctlError]]:
    """Hold the lease on these nodes, all or none, taken in the order of their names.

    So of two commands with some nodes in common one gets all of its own. While it is held, lost
    connections are waited for (remote/reconnect.py): a lease that expires meanwhile goes on unless
    another command has taken it.

    Yields the nodes where it could not be taken for another reason than another holder; only with
    `partial`, else the first such error is raised. With `partial` a node whose disk is full is
    changed without it, as long as nobody else holds it. With `read` the nodes' facts are read in
    the same round trips (Session.facts). `meanwhile` is called while the first is waited for,
    `during` while the last is, with the lease on all others.
    `force` takes it from its holder; `note` gets each warning. Raises LockedError with the holder.
    """
    ordered = sorted(nodes, key=lambda n: n.name)
    lease = Lease(session, ordered, secrets.token_hex(16), why=why, force=force)
    patience = Patience(note, lease.check)
    failed: dict[str, SparkctlError] = {}
    try:
        request = _request(lease, lease.token, force=force)
        before, last = ordered[:-1], ordered[-1:]
        for node in before:
            answers = _take(session, [node], request, meanwhile)
            failed |= _judge(session, lease, answers, partial=partial)
            meanwhile = None
        session.lease, session.patience = lease, patience
        answers = (
            _claim(session, ordered, request, during) if read else _take(session, last, request)
        )
        failed |= _judge(session, lease, answers, partial=partial, claimed=read)
        lease.start()
        yield failed
    finally:
        session.lease = session.patience = None
        patience.over.set()
        for name, error in lease.close().items():
            note(
                f"{name}: the lease was not released and expires in {SECONDS:g} s: {error.message}"
            )


def _request(lease: Lease, token: str, *, force: bool) -> dict[str, Any]:
    owner = {"who": lease.who, "when": lease.when, "why": lease.why}
    return {"owner": owner, "token": token, "seconds": SECONDS, "force": force}


def _unwritten(node: str, reason: str) -> RemoteError:
    return RemoteError(f"cannot write the lease: {reason}", node=node, code="lease-unwritten")


def _shared(node: str) -> RemoteError:
    return RemoteError(
        "its home directory is shared with another node of the cluster",
        node=node,
        code="shared-home",
        hint="make ~/.sparkctl on each node a local directory, or a link to one",
    )


def _take(
    session: Session,
    nodes: Sequence[Node],
    request: dict[str, Any],
    meanwhile: Callable[[], object] | None = None,
) -> GroupResult[LeaseTaken]:
    return session.ask_all(
        nodes, TAKE_LEASE, lambda _: request, leased=False, title=TITLE, meanwhile=meanwhile
    )


def _claim(
    session: Session,
    nodes: Sequence[Node],
    request: dict[str, Any],
    during: Callable[[], object] | None,
) -> GroupResult[LeaseTaken]:
    """Take it on the last node, as the others have it, and read the facts of all."""
    answers = each(
        nodes,
        lambda node: session.claim(node, request) if node is nodes[-1] else session.probe([node]),
        key=lambda node: node.name,
        meanwhile=during,
    )
    taken = {name: a for name, a in answers.ok.items() if isinstance(a, LeaseTaken)}
    return GroupResult(taken, answers.failed)


def _judge(
    session: Session,
    lease: Lease,
    answers: GroupResult[LeaseTaken],
    *,
    partial: bool,
    claimed: bool = False,
) -> dict[str, SparkctlError]:
    """Note where the lease was taken. Raises as `hold` does."""
    failed = dict(answers.failed)
    # A claim may have failed after it took the lease.
    lease.untaken |= {n for n, e in failed.items() if not claimed or isinstance(e, ConnectError)}
    for name, answer in answers.ok.items():
        if answer.holder is not None:
            raise locked(session.inventory.cluster, name, answer.holder)
        if answer.unwritten:
            error = _unwritten(name, answer.unwritten)
            if not partial:
                raise error
            lease.unwritten[name] = error
        if answer.shared:
            lease.untaken.add(name)  # a renewal from here would void that of the node that has it
            failed[name] = _shared(name)
            continue
        lease.taken.add(name)
    if failed and not partial:
        raise combined(failed)
    return failed


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid that no account has
        return f"uid {os.getuid()}"


def locked(cluster: str, node: str, holder: Holder) -> LockedError:
    """The error that names who holds the lease, and what to do."""
    left = holder.expires_in
    until = (
        "the lease does not expire; if that run is dead, take it over with --break-lock"
        if left is None
        else f"wait for it; if that run is dead, its lease expires in {left:.0f} s"
        " (--break-lock takes it over now)"
    )
    return LockedError(
        f"cluster {cluster} is locked by {described(holder, time.time())}",
        node=node,
        hint=until,
        data={"who": holder.who, "when": holder.when, "why": holder.why, "expires_in": left},
    )


def described(holder: Holder, now: float) -> str:
    """Who holds a lease, how long ago they took it, and for which command."""
    return f"{holder.who} {ago(holder.when, now)} ({holder.why})"


def settle(calls: Sequence[threading.Event]) -> bool:
    """Wait for calls that an interruption left under way; False when there is none."""
    deadline = time.monotonic() + SETTLE
    aside(lambda: [call.wait(max(0.0, deadline - time.monotonic())) for call in calls])
    return bool(calls)
