"""A fault as a value: shell for the node, a change of the lab's inventory, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Inventory = dict[str, Any]

# What every script begins with. Background processes carry the fault's name in their environment,
# by which they are ended again; `over` lays a file or folder over another until `unlay`.
PRELUDE = r"""
set -eu
export SPARKCTL_LAB_FAULT="$NAME" SPT_NOENV=1
OWN=/run/sparkctl-lab/faults/$NAME
over() { mkdir -p "$OWN"; mount --bind "$1" "$2"; }
unlay() { umount "$1"; }
await() { until eval "$1"; do sleep 0.02; done; }
daemon() { setsid "$@" >/dev/null 2>&1 </dev/null & }
end_daemons() {
    for environ in /proc/[0-9]*/environ; do
        pid=${environ#/proc/}; pid=${pid%/environ}
        [ "$pid" = $$ ] && continue
        if grep -qzx "SPARKCTL_LAB_FAULT=$NAME" "$environ" 2>/dev/null; then
            kill -9 "$pid" || true
        fi
    done
}
port() { echo "/sys/class/infiniband/$1/ports/1"; }
reload_sshd() { kill -HUP "$(pgrep -o -x sshd)"; }
mkdir -p "$OWN"
"""
# The imitated ConnectX-7 follows the links a moment later, at both ends of a cable.
SETTLED = r"""
for folder in /sys/devices/pci*/*/net/*; do
    link=${folder##*/}; state=$(echo "${folder%/net/*}"/infiniband/*/ports/1/state)
    carrier() { cat "/sys/class/net/$link/carrier" 2>/dev/null || echo 0; }
    await '[ "$(grep -c ACTIVE "$state")" = "$(carrier)" ]'
done
"""
CLEANUP = '\nrm -rf "$OWN"\n'


@dataclass(frozen=True)
class Fault:
    """One fault; `apply` and `heal` are shell scripts that run as root in the node's namespaces.

    They find NAME, NODE, NUMBER (the node's), ADDRESS (management), VENV and MODEL set, and
    return when the fault is in effect. `inventory` changes the lab's inventory in place.
    """

    name: str
    text: str
    apply: str = ""
    heal: str = ""
    inventory: Callable[[Inventory, str], None] | None = None
    node: str = "spark-2"
    needs: str = ""  # "", "runtime", "serving"
