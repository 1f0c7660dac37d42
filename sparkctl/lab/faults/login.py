"""Faults of reaching a node: sshd, its keys, and what a login may do."""

from __future__ import annotations

from sparkctl.lab.faults.fault import Fault

CONFIG = "/run/sparkctl-lab/sshd_config"
BANNER = "timeout 1 bash -c 'exec 3<>/dev/tcp/$ADDRESS/{port}; head -c 4 <&3' 2>/dev/null"


def _answers(port: int) -> str:
    """Shell that waits for sshd's banner: it has taken its new configuration."""
    return f'await "{BANNER.format(port=port)} | grep -q SSH-"'


def _restored(port: int = 22) -> str:
    return f"cp $OWN/sshd_config {CONFIG}; reload_sshd; {_answers(port)}"


def _shell(*lines: str) -> str:
    """Shell that makes these lines root's login shell; the last one ends in bash."""
    text = "\\n".join(("#!/bin/sh", *lines))
    return (
        f"printf '{text} \"$@\"\\n' >$OWN/shell; chmod 755 $OWN/shell;"
        ' sed "s|^\\(root:.*:\\)[^:]*|\\1$OWN/shell|" /etc/passwd >$OWN/passwd;'
        " over $OWN/passwd /etc/passwd"
    )


FAULTS = (
    Fault(
        "ssh-down",
        "nothing listens on port 22",
        f"cp {CONFIG} $OWN; echo 'Port 2222' >>{CONFIG}; reload_sshd; {_answers(2222)}",
        _restored(),
    ),
    Fault(
        "ssh-slow",
        "a login takes four seconds more",
        "printf '#!/bin/sh\\nsleep 4\\ncat /run/sparkctl-lab/authorized_keys\\n'"
        f" >/usr/local/sbin/slow-keys; chmod 755 /usr/local/sbin/slow-keys; cp {CONFIG} $OWN;"
        f" sed -i '/^AuthorizedKeysFile/d' {CONFIG};"
        f" printf 'AuthorizedKeysFile none\\nAuthorizedKeysCommand /usr/local/sbin/slow-keys\\n"
        f"AuthorizedKeysCommandUser root\\n' >>{CONFIG}; reload_sshd; {_answers(22)}",
        f"{_restored()}; rm /usr/local/sbin/slow-keys",
    ),
    Fault(
        "host-key-changed",
        "the node has another host key, as after a re-installation",
        f"cp {CONFIG} $OWN; ssh-keygen -q -t ed25519 -N '' -f $OWN/key;"
        f' sed -i "s#^HostKey .*#HostKey $OWN/key#" {CONFIG}; reload_sshd; {_answers(22)}',
        _restored(),
    ),
    Fault(
        "clock-skew",
        "the clock is two minutes ahead",
        # sshd's sandbox does not bear libfaketime: what a login starts has the other clock.
        _shell(
            "export FAKETIME=+120s LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1)",
            "exec /bin/bash",
        ),
        "unlay /etc/passwd; rm -f /dev/shm/faketime_* /dev/shm/sem.faketime_*",
    ),
    Fault(
        "memlock-64k",
        "a login may lock 64 KiB, and CAP_IPC_LOCK is gone, as in a container",
        _shell("ulimit -l 64", "exec setpriv --bounding-set=-ipc_lock -- /bin/bash"),
        "unlay /etc/passwd",
    ),
)
