"""What goes wrong while a model is served, with real Ray and vLLM: found, and mended by `up`.

The tests depend on their order; the cluster is the one of test_zz_serving.py, if that still runs.
"""

from __future__ import annotations

import json
import re
import signal
import time

import pytest

from sparkctl.lab.faults import engine
from tests.lab.cluster import Cluster, until
from tests.lab.crashes import crash
from tests.lab.examine import examine, generation
from tests.lab.guarded import load, pids, raylets, status
from tests.lab.raygang import ONE, RANK, TWO, assert_one_gang, parts
from tests.lab.toycluster import with_rows
from tests.lab.users import other_user

pytestmark = [pytest.mark.lab, pytest.mark.serving]
FOREIGN = "/tmp/foreign-ray"
BREAK = "--break-lock"
IMPATIENT = {"SPARKCTL_TEST_STILL": "8"}  # seconds until `up` restarts what makes no step
HEAD, WORKER, SERVE = "vllm/0/ray/spark-1", "vllm/0/ray/spark-2", "vllm/0/vllm/spark-1"


def test_a_wedged_engine_is_found_although_the_api_answers(served: Cluster) -> None:
    engine.inject(served.lab.base, "api-wedged")
    try:
        wrong, view = examine(served.inventory)
        assert wrong == {("running.generation", "spark-1", "FAIL")}
        health = generation(view).health
        assert health.state == "wedged"
        assert (health.still_for or 99) < 10
    finally:
        engine.heal(served.lab.base)
    assert examine(served.inventory)[0] == set()


def test_a_saturated_engine_is_busy_and_left_alone(served: Cluster) -> None:
    before = pids(status(served))
    with load(served, 200):
        again = served.up()
        assert again.stdout.startswith("no changes")
        assert re.search(r"busy: 64 running, \d+ waiting, [\d.]+ tokens/s", again.stderr)
        wrong, view = examine(served.inventory)
        assert wrong == set()
        assert generation(view).health.state == "busy"
    assert pids(status(served)) == before


def test_a_rank_that_hangs_is_reported_and_restarted_and_ctrl_c_says_what_is_down(
    served: Cluster,
) -> None:
    (rank,) = served.on(TWO, f"pgrep -f '{RANK}'").split()
    with load(served, 8):
        served.on(TWO, f"kill -STOP {rank}")
        wrong, view = examine(served.inventory)
        assert wrong == {("running.generation", "spark-1", "FAIL")}
        health = generation(view).health
        assert health.state == "wedged"
        assert health.running
        assert status(served, code=1)["vllm"]["health"]["state"] == "wedged"
        restart, seen = until(with_rows(served, **IMPATIENT), "] start vLLM", "up")
    restart.send_signal(signal.SIGINT)
    _, err = restart.communicate(timeout=120)
    assert "restart vLLM on spark-1: no completion: wedged: " in seen
    assert restart.returncode == 130, err
    assert "MiniMax-M2-mini is down: it was stopped for the restart" in err
    assert status(served, code=1)["vllm"]["error"] == "not running"


def planned(cluster: Cluster) -> dict[str, str]:
    """What `up` would change, and why, by unit."""
    document = json.loads(cluster.run("up", "--dry-run", "--json").stdout)
    return {change["id"]: change["why"] for change in document["changes"]}


def test_dead_parts_are_found_and_ups_that_are_killed_mend_them_once(guarded: Cluster) -> None:
    """The test before left Ray running, and no vLLM."""
    guarded.on(TWO, "kill -9 $(pgrep -x raylet)")
    assert planned(guarded)[WORKER] in ("not running", "its raylet died")
    guarded.on(ONE, "kill -9 $(pgrep -x gcs_server)")
    assert planned(guarded)[HEAD] in ("not running", "its gcs_server died", "its raylet died")
    assert planned(guarded).keys() == {HEAD, WORKER, SERVE}
    crash(with_rows(guarded), f"after launch.* on {ONE}", "up")
    ray = guarded.on(ONE, "until pgrep -f '[g]cs/gcs_server'; do sleep 0.1; done").split()
    with other_user(guarded) as other:
        second, _ = until(other, "loading the model", "up", BREAK)
        second.kill()
        second.communicate()
    loading = parts(guarded)
    assert {*ray} <= {*loading[ONE]}, "the Ray that was starting"
    guarded.up(BREAK)
    assert all({*loading[node]} <= {*there} for node, there in parts(guarded).items())
    assert_one_gang(guarded)
    assert examine(guarded.inventory)[0] == set()


def test_a_worker_that_joined_by_the_management_network(served: Cluster) -> None:
    kept = raylets(status(served))[0]
    engine.inject(served.lab.base, "ray-on-management")
    try:
        # The rank on that node ends with its raylet; vLLM ends some seconds later.
        deadline = time.monotonic() + 120
        while status(served, code=1)["vllm"].get("error") != "not running":
            assert time.monotonic() < deadline, "vLLM outlives its rank"
        wrong, _ = examine(served.inventory)
        assert ("running.ray", "spark-2", "FAIL") in wrong
        expected = {"running.ray", "running.generation", "running.ranks"}
        assert {check for check, _, _ in wrong} <= expected
        changes = json.loads(served.up("--json").stdout)["changes"]
        why = "Ray does not list 192.168.100.12 as alive with its GPU"
        assert f"restart Ray worker on spark-2: {why}" in changes
        assert len(changes) == 2
    finally:
        engine.heal(served.lab.base)
    assert raylets(status(served))[0] == kept, "the head's Ray was kept"
    assert examine(served.inventory)[0] == set()


def test_down_after_a_ranks_death_leaves_nothing_and_a_foreign_ray_lives(served: Cluster) -> None:
    served.on(TWO, f"kill -9 $(pgrep -f '{RANK}')")
    assert planned(served).keys() == {SERVE}, "the rank dies before vLLM does"
    ray = "~/.cache/sparkctl/runtime/bin/ray"
    served.on(
        TWO,
        f"{ray} start --head --port 6399 --include-dashboard=false --num-cpus 1"
        f" --node-ip-address 127.0.0.1 --object-store-memory 100000000 --temp-dir {FOREIGN}"
        " --disable-usage-stats >/dev/null 2>&1 </dev/null",
    )
    try:
        foreign = served.on(TWO, f"pgrep -f {FOREIGN}").split()
        served.on(ONE, "rm ~/.sparkctl/lab/applied.json")  # the record is lost
        down = json.loads(served.run("down", "--json").stdout)
        assert down["failed"] == {}
        assert served.on(TWO, f"pgrep -f {FOREIGN}").split() == foreign
        served.on(TWO, f"{ray} status --address 127.0.0.1:6399")
    finally:
        # The brackets keep the shell that runs pkill from matching itself. Ray's agents outlive a
        # killed raylet, and their titles do not name the cluster; sparkctl's have ended.
        served.on(TWO, f"pkill -9 -f '[/]{FOREIGN[1:]}|[r]ay::'")
        served.on(TWO, f"rm -rf {FOREIGN} /tmp/ray /dev/shm/*")
    served.on(TWO, "while pgrep -f '[r]aylet|[r]ay::'; do sleep 0.1; done")
    assert served.traces() == {}
    assert served.run("down").stdout == "nothing to do\n"
