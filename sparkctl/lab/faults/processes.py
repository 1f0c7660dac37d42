"""Faults of processes: ports that are taken, other Rays, leftovers, a wedged engine."""

from __future__ import annotations

from sparkctl.lab.faults.fault import Fault

LISTEN = "import signal,socket; s=socket.create_server(('',6379)); signal.pause()"
# Our raylet again, by the management network: as if --node-ip-address had been forgotten.
REJOIN = r"""
import json, os, pathlib, subprocess, sys
state = pathlib.Path.home() / ".sparkctl/lab"
run = json.loads((state / "applied.json").read_text())["ray_run"]
env = {**os.environ, **json.loads((state / "environment.json").read_text()),
       "SPARKCTL_CLUSTER": f"lab/{run}", "SPARKCTL_ROLE": "ray"}
env.pop("SPARKCTL_LAB_FAULT")
argv = [sys.argv[1] + "/bin/ray", "start", "--address", "192.168.100.11:6379",
        "--node-ip-address", sys.argv[2], "--num-gpus", "1", "--object-store-memory", "200000000",
        "--disable-usage-stats"]
sys.exit(subprocess.run(argv, env=env, stdout=subprocess.DEVNULL).returncode)
"""
END_OURS = r"""
for environ in /proc/[0-9]*/environ; do
    pid=${environ#/proc/}; pid=${pid%/environ}
    if grep -qz '^SPARKCTL_CLUSTER=lab/' "$environ" 2>/dev/null; then kill -9 "$pid" || true; fi
done
"""
# The brackets keep the script, which has the pattern in its own command line, out of it.
ENGINES = r"""
for folder in /proc/[0-9]*; do
    if tr '\0' ' ' <$folder/cmdline 2>/dev/null | grep -q 'VLLM::[E]ngineCore'; then
        kill -SIGNAL "${folder#/proc/}"; found=1
    fi
done
[ "${found:-}" ]
"""

FAULTS = (
    Fault(
        "port-taken",
        "another program listens on Ray's port",
        f'daemon python3 -c "{LISTEN}"; await "ss -Hltn sport = :6379 | grep -q LISTEN"',
        "end_daemons",
        node="spark-1",
    ),
    Fault(
        "foreign-ray",
        "somebody else's Ray runs here",
        '"$VENV/bin/ray" start --head --port 6399 --include-dashboard=false --num-cpus 1'
        " --node-ip-address 127.0.0.1 --object-store-memory 100000000 --disable-usage-stats"
        " --temp-dir /tmp/foreign-ray >$OWN/log 2>&1 </dev/null",
        "end_daemons; await '! pgrep raylet >/dev/null'; rm -rf /tmp/foreign-ray /tmp/ray;"
        " rm -f /dev/shm/plasma* /dev/shm/sem.*",
        needs="runtime",
    ),
    Fault(
        "leftover",
        "a process and files of a run of ours that was killed",
        "SPARKCTL_CLUSTER=lab/20260101-000000-dead SPARKCTL_ROLE=vllm daemon sleep infinity;"
        " mkdir -p ~/.sparkctl/lab; echo '{}' >~/.sparkctl/lab/applied.json;"
        " await 'grep -qz ^SPARKCTL_CLUSTER=lab/20260101 /proc/[0-9]*/environ 2>/dev/null'",
        "end_daemons; rm -rf ~/.sparkctl",
    ),
    Fault(
        "ray-on-management",
        "the worker joined Ray by the management network (heal ends it: `sparkctl up` again)",
        END_OURS + f"cat >$OWN/rejoin.py <<'EOF'{REJOIN}EOF\n"
        '"$VENV/bin/python" $OWN/rejoin.py "$VENV" "$ADDRESS"',
        END_OURS,
        needs="serving",
    ),
    Fault(
        "api-wedged",
        "vLLM's engine hangs: the API answers 200 and generates nothing",
        ENGINES.replace("SIGNAL", "STOP"),
        ENGINES.replace("SIGNAL", "CONT"),
        node="spark-1",
        needs="serving",
    ),
)
