"""Processes in the way: other users' programs, and leftovers of an older run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import HEAD, Fault
from sparkctl.lab.faults.needs import runtime
from sparkctl.lab.faults.network import RAY_PORT
from sparkctl.lab.faults.scripts import sh
from sparkctl.lab.faults.undos import FOREIGN_FOLDER

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

FOREIGN_PORT = 6399
DEAD, LAST = "20260101-000000-dead", "20260102-000000-beef"  # old runs
STATE = ".sparkctl/lab"  # of root's home

LOGGED = 'log="$1"; shift; exec "$@" >"$log" 2>&1'
LISTEN = """\
import signal, socket, sys
server = socket.create_server(("", int(sys.argv[1])))
signal.pause()
"""


def _port(target: Target) -> None:
    target.start("python3", "-c", LISTEN, str(RAY_PORT))
    target.until(f"ss -Hltn 'sport = :{RAY_PORT}' | grep -q LISTEN")


def _foreign_ray(target: Target) -> None:
    target.on_heal("remove", path=FOREIGN_FOLDER)
    options = f"--head --port={FOREIGN_PORT} --temp-dir={FOREIGN_FOLDER} --num-cpus=1"
    options += " --object-store-memory=100000000 --include-dashboard=false --disable-usage-stats"
    ray = [f"{runtime(target)}/bin/ray", "start", *options.split()]
    # Without SPT_NOENV, Ray's setproctitle overwrites the mark in /proc/PID/environ.
    environment = {**target.mark, "SPT_NOENV": "1"}
    target.run("sh", "-c", LOGGED, "sh", f"{target.folder}/log", *ray, environment=environment)


KEEP = 'test -e "$1" || { mkdir -p -m 700 "$1" && cp "$2" "$1/applied.json"; }'


def _leftover(target: Target) -> None:
    record = f'{{"ray": "", "ray_run": "{LAST}", "when": "2026-01-02T00:00:00+0000"}}'
    applied = target.file("applied.json", record, "0600")
    target.change(sh(KEEP, f"/root/{STATE}", applied), "remove-record", state=STATE, run=LAST)
    mark = {"SPARKCTL_CLUSTER": f"lab/{DEAD}", "SPARKCTL_ROLE": "vllm"}
    target.start("bash", "-c", "exec -a VLLM::Worker_TP1 sleep infinity", environment=mark)
    # The brackets keep the shell that runs pgrep from matching itself.
    target.until("pgrep -f '^[V]LLM::Worker_TP1' >/dev/null")


FAULTS = (
    Fault(
        "port-taken",
        f"a foreign process listens on port {RAY_PORT}",
        _port,
        touches=(f"port/{RAY_PORT}",),
        node=HEAD,
    ),
    Fault(
        "foreign-ray",
        f"a foreign Ray runs, with its GCS on port {FOREIGN_PORT}",
        _foreign_ray,
        touches=(f"port/{FOREIGN_PORT}",),
        needs="runtime",
    ),
    Fault(
        "leftover",
        "an older run left a rank (imitated) and its record",
        _leftover,
        touches=("leftover",),
    ),
)
