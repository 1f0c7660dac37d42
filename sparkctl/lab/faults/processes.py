"""Processes that stand in the way: somebody else's, and what an older run of ours left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import HEAD, Fault
from sparkctl.lab.faults.needs import runtime
from sparkctl.lab.faults.network import RAY_PORT

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

FOREIGN_PORT, FOREIGN_FOLDER = 6399, "/tmp/foreign-ray"
DEAD, LAST = "20260101-000000-dead", "20260102-000000-beef"  # runs of long ago
STATE = "/root/.sparkctl/lab"

LISTEN = """\
import signal, socket, sys
server = socket.create_server(("", int(sys.argv[1])))
signal.pause()
"""


def _port(target: Target) -> None:
    target.start("python3", "-c", LISTEN, str(RAY_PORT))
    target.until(f"ss -Hltn 'sport = :{RAY_PORT}' | grep -q LISTEN")


def _foreign_ray(target: Target) -> None:
    target.when_healed("rm", "-rf", FOREIGN_FOLDER)
    ray = ["--head", f"--port={FOREIGN_PORT}", f"--temp-dir={FOREIGN_FOLDER}", "--num-cpus=1",
           "--object-store-memory=100000000", "--include-dashboard=false",
           "--disable-usage-stats"]  # fmt: skip
    target.run(
        "sh", "-c", 'log="$1"; shift; exec "$@" >"$log" 2>&1', "sh", f"{target.folder}/log",
        f"{runtime(target)}/bin/ray", "start", *ray,
        # Else Ray's setproctitle writes over the mark in /proc/PID/environ.
        environment={**target.mark, "SPT_NOENV": "1"},
    )  # fmt: skip


# What healing finds may have been removed, by `sparkctl down` or by `doctor --fix`, or be the files
# of a cluster that was started since.
REMOVE = f"""\
cd {STATE} 2>/dev/null || exit 0
if grep --quiet {LAST} applied.json; then
    rm applied.json
    cd /root
    rmdir --ignore-fail-on-non-empty --parents .sparkctl/lab
fi
"""


def _leftover(target: Target) -> None:
    applied = target.file(
        "applied.json",
        f'{{"ray": "", "ray_run": "{LAST}", "when": "2026-01-02T00:00:00+0000"}}',
        "0600",
    )
    keep = f"test -e {STATE} || {{ mkdir -p -m 700 {STATE} && cp {applied} {STATE}/applied.json; }}"
    target.change(["sh", "-ec", keep], ["sh", "-c", REMOVE])
    target.start(
        "bash", "-c", "exec -a VLLM::Worker_TP1 sleep infinity",
        environment={"SPARKCTL_CLUSTER": f"lab/{DEAD}", "SPARKCTL_ROLE": "vllm"},
    )  # fmt: skip
    # In brackets, so that the shell that looks does not find itself.
    target.until("pgrep -f '^[V]LLM::Worker_TP1' >/dev/null")


FAULTS = (
    Fault(
        "port-taken",
        f"somebody else's process listens on port {RAY_PORT}",
        _port,
        touches=(f"port/{RAY_PORT}",),
        node=HEAD,
    ),
    Fault(
        "foreign-ray",
        f"somebody else's Ray runs, its GCS on port {FOREIGN_PORT}",
        _foreign_ray,
        touches=(f"port/{FOREIGN_PORT}",),
        needs="runtime",
    ),
    Fault(
        "leftover",
        "a rank of an older run of ours is left, and its journal",
        _leftover,
        touches=("leftover",),
    ),
)
