"""A service in containers: the container of each node, and the units that run in it."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.engine import ended
from sparkctl.engines.inventory import parse
from sparkctl.errors import PreflightError
from sparkctl.node import processes, sharedmemory
from sparkctl.node.difference import difference
from sparkctl.node.unitjson import document, unit_of
from sparkctl.node.units import READY, Need, RayNodes, Running
from sparkctl.output.plan import plan_lines
from sparkctl.plan.desired import desire
from sparkctl.plan.outline import outline
from tests.unit.answers import all_facts, engine, engines
from tests.unit.clusterpair import nodes
from tests.unit.nodeunits import CLUSTER, SLEEP, home, of, start, until
from tests.unit.test_inventory import GOOD, codes, problems

if TYPE_CHECKING:
    from sparkctl.node.units import Unit
    from sparkctl.plan.desired import Desired

__all__ = ["home"]
RUNTIME = "runtime: {image: vllm/vllm-openai:v0.32.0, mounts: ['/data:ro', '~/x:/y']}\n"
TEXT = RUNTIME + GOOD
INSIDE = ("docker", "exec", "--interactive")
# A program in a pid namespace of its own, as in a container.
NEW_PIDS = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
MAPS = """\
import mmap, sys
f = open("/dev/shm/x", "wb+")
f.truncate(4096)
m = mmap.mmap(f.fileno(), 0)
print(flush=True)
sys.stdin.read()
"""
root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make namespaces")


def desired(text: str = TEXT, started: Any = None, **values: Any) -> Desired:
    """What `text` wants on nodes where docker works; `values` are the group's."""
    inventory = parse(text.encode(), "x")
    answers = nodes(inventory)
    for answer in answers.values():
        answer["containers"] = {**engines(docker=engine()), **values}
    return desire(inventory.views[0], [], all_facts(answers), started)


def words(found: Desired, flag: str, node: str = "spark-1") -> list[str]:
    """The values of a flag of the container's start."""
    argv = unit(found, "container", node).program.argv
    return [argv[i + 1] for i, word in enumerate(argv) if word == f"--{flag}"]


def unit(found: Desired, kind: str, node: str = "spark-1") -> Unit:
    return found.units[f"vllm/0/{kind}/{node}"]


def test_each_node_has_one_container_in_which_ray_and_vllm_start() -> None:
    found = desired()
    assert [u.kind for u in found.units.values()] == ["container"] * 2 + ["ray"] * 2 + ["vllm"]
    box, serve = unit(found, "container"), unit(found, "vllm")
    assert box.program.argv[:3] == ("docker", "run", "--detach")
    assert box.program.argv[-3:] == ("vllm/vllm-openai:v0.32.0", "sleep", "infinity")
    assert serve.program.argv[:2] == ("vllm", "serve"), "by the image's PATH"
    assert serve.program.inside[:3] == INSIDE
    assert serve.program.inside[-1] == "sparkctl.sparks.vllm.0.container.spark-1"
    assert serve.needs[0] == Need(box.id, READY, follows=True)
    (ray,) = [ready for ready in unit(found, "ray").ready if isinstance(ready, RayNodes)]
    assert (ray.python, ray.inside[:3]) == ("python3", INSIDE)
    assert {*outline(found.inventory)} == {*found.units}


def test_a_plan_can_be_pasted_line_by_line() -> None:
    """What a program gets is named in its line, with the values of the lines before it."""
    found = desired()
    (line,) = [line for line in plan_lines([found]) if "vllm serve" in line]
    argv = shlex.split(line)
    passed = {argv[i + 1] for i, word in enumerate(argv) if word == "--env"}
    assert argv[:3] == [*INSIDE]
    assert passed >= {*found.values("spark-1"), "RAY_ADDRESS"}


def test_programs_run_as_the_login_at_the_nodes_own_paths() -> None:
    found = desired(groups=[7, 1000])
    assert words(found, "user") == ["1000:1000"]
    assert words(found, "group-add") == ["7"]
    home = found.parts["spark-1"].home
    assert words(found, "tmpfs")[0].startswith(f"{home}:rw,exec")
    mounts = [dict(f.split("=") for f in m.split(",") if "=" in f) for m in words(found, "mount")]
    targets = {mount["target"]: mount["source"] for mount in mounts}
    assert targets["/y"] == f"{home}/x"
    assert {*targets} >= {f"{home}/.cache", f"{home}/.sparkctl/sparks", "/models/m", "/data"}
    readonly = {
        m.split("target=")[1].partition(",")[0]
        for m in words(found, "mount")
        if ",ro" in m or ",readonly" in m
    }
    assert readonly == {"/models/m", "/data", "/etc/passwd", "/etc/group"}
    assert {"SPARKCTL_CLUSTER", "SPARKCTL_UNIT", f"HOME={home}"} <= {*words(found, "env")}


def test_a_look_into_the_image_needs_nothing_that_a_start_makes() -> None:
    found = desired()
    argv = found.runtime.once(found.places["spark-1"], "sparkctl.sparks.look.1")
    mounts = [argv[i + 1].split("target=")[1] for i, word in enumerate(argv) if word == "--mount"]
    assert mounts == ["/data,readonly", "/y"]
    assert argv[:4] == ("docker", "run", "--rm", "--interactive")
    assert argv[4:6] == ("--name", "sparkctl.sparks.look.1")
    labels = [argv[i + 1] for i, word in enumerate(argv) if word == "--label"]
    assert labels == ["sparkctl.cluster=sparks", "sparkctl.user=1000"], "by which `down` finds it"
    assert argv[-1] == "vllm/vllm-openai:v0.32.0", "what follows is the program"


def test_a_rootless_engines_root_is_the_login() -> None:
    found = desired(engines={"docker": engine(rootless=True)})
    assert (words(found, "user"), words(found, "tmpfs")) == ([], [])
    assert words(found, "cap-add") == ["IPC_LOCK"]


def test_what_is_not_there_is_not_asked_for() -> None:
    """Both engines refuse a device that the node lacks."""
    assert "/dev/infiniband" in words(desired(), "device")
    assert words(desired(infiniband=False), "device") == []


def test_flags_of_the_inventory_come_over_sparkctls_own() -> None:
    flags = "flags: {shm-size: 8g, gpus: null, ulimit: [nofile=9], privileged: true}"
    found = desired(TEXT.replace("{image", "{" + flags + ", image"))
    assert (words(found, "shm-size"), words(found, "gpus")) == (["8g"], [])
    assert "nofile=9" in words(found, "ulimit")
    assert "memlock=-1:-1" in words(found, "ulimit")
    assert "--privileged" in unit(found, "container").program.argv


def test_another_image_of_the_same_name_is_another_start() -> None:
    old, same = desired(), desired()
    images = {"id": "sha256:2", "digests": [], "architecture": "arm64", "size": 1}
    new = desired(engines={"docker": engine(image=images)})
    box = unit(old, "container").id
    again = {box: old.records[box]}
    for found, equal in ((same, True), (new, False)):
        argv = found.units[box].program.argv
        record = again[box].again(argv, found.values("spark-1"))
        assert (record.digest == old.records[box].digest) is equal


def test_the_engine_is_one_that_all_nodes_can_use_and_that_has_the_image() -> None:
    denied = engine(problem="denied", reason="no permission", image=None)
    auto = desired(engines={"docker": denied, "podman": engine()})
    assert unit(auto, "container").program.argv[0] == "podman"
    empty = desired(engines={"docker": engine(image=None), "podman": engine()})
    assert unit(empty, "container").program.argv[0] == "podman"
    with pytest.raises(PreflightError, match=r"spark-2: docker: no permission") as caught:
        desired(engines={"docker": denied, "podman": denied})
    assert caught.value.code == "no-container-engine"


def test_the_engine_that_runs_a_service_stays_though_it_does_not_answer() -> None:
    stopped = engine(problem="stopped", reason="no daemon", image=None)
    before = desired(engines={"docker": engine(), "podman": engine()})
    with pytest.raises(PreflightError, match="spark-1: docker: no daemon"):
        desired(started=before.records, engines={"docker": stopped, "podman": engine()})


def test_a_program_that_leaves_or_enters_a_container_is_replaced() -> None:
    """Its command line may be the same."""
    serve = unit(desired(), "vllm")
    bare = replace(serve, program=replace(serve.program, inside=()))
    for wanted, started in ((serve, bare), (bare, serve)):
        runs = {serve.id: Running("spark-1", "r", serve.digest, READY, 0.0)}
        plan = difference({wanted.id: wanted}, runs, recorded={started.id: started})
        assert "container" in plan.changes[0].why


def test_another_image_is_named_as_what_changed() -> None:
    old = desired()
    new = desired(TEXT.replace("v0.32.0", "v0.33.0"))
    box = unit(old, "container").id
    (said, *_) = old.records[box].changes(new.records[box])
    assert said.startswith("program: vllm/vllm-openai:v0.32.0 -> vllm/vllm-openai:v0.33.0")


def test_a_mount_more_or_less_is_named() -> None:
    old, new = desired(), desired(TEXT.replace("'/data:ro', ", ""))
    one, other = (found.records[unit(found, "container").id] for found in (old, new))
    mount = "type=bind,source=/data,target=/data,readonly"
    assert one.changes(other) == ["--mount removed"]
    assert other.changes(one) == [f"--mount added: {mount}"]


def test_a_service_may_have_a_runtime_of_its_own() -> None:
    text = """\
cluster: sparks
nodes: [{name: spark-1, host: a}, {name: spark-2, host: b}]
runtime: {venv: ~/v}
services:
  one: {model: /m, nodes: [spark-1], tensor_parallel_size: 1}
  two: {model: /m, nodes: [spark-2], tensor_parallel_size: 1, runtime: {image: a/b}}
"""
    one, two = parse(text.encode(), "x").views
    assert (one.runtime.name, one.runtime_key) == ("venv", "runtime")
    assert (two.runtime.name, two.runtime_key) == ("container", "services.two.runtime")


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("{image: a, venv: ~/v}", "keys-conflict"),
        ("{tool: podman}", "missing-image"),
        ("{mounts: [/x]}", "missing-image"),
        ("{image: a, mounts: [x]}", "bad-mount"),
        ("{image: '-v'}", "bad-image"),
        ("{image: a, flags: {user: root}}", "own-flag"),
        ("{image: a, flags: {env: A=1}}", "own-flag"),
        ("{image: a, flags: {rm: true}}", "own-flag"),
        ("{image: a, flags: {volume: '/a:/b'}}", "own-flag"),
        ("{image: a, flags: {restart: always}}", "own-flag"),
        ("{image: a, flags: {network: bridge}}", "own-flag"),
        ("{image: a, flags: {network: null}}", "own-flag"),
        ("{image: a, flags: {net: host}}", "own-flag"),
        ("{image: a, flags: {v: '/a:/b'}}", "bad-flag"),
        ("{image: a, kind: venv}", "keys-conflict"),
        ("{kind: container}", "missing-image"),
    ],
)
def test_mistakes_in_a_runtime_are_named(runtime: str, code: str) -> None:
    (found,) = codes(f"runtime: {runtime}\n{GOOD}")
    assert found.split()[-1] == code


@pytest.mark.parametrize("name", ["shm_size", "--shm-size", "--SHM-size"])
def test_a_flag_that_is_written_otherwise_is_named_with_its_form(name: str) -> None:
    (found,) = problems(f"runtime: {{image: a, flags: {{{name}: 8g}}}}\n{GOOD}")
    assert f'`docker run --help`, without dashes in front, got "{name}"; write shm-size' in found


def test_what_sparkctl_sets_itself_may_be_repeated() -> None:
    for flags in ("restart: 'no'", "restart: false", "restart: null", "network: host"):
        assert parse(f"runtime: {{image: a, flags: {{{flags}}}}}\n{GOOD}".encode(), "x")


@pytest.mark.parametrize(
    ("flags", "size"),
    [("ipc: host", []), ("ipc: host, shm-size: 1g", ["1g"]), ("ipc: private", ["64g"])],
)
def test_no_size_is_given_to_anothers_shared_memory(flags: str, size: list[str]) -> None:
    """podman refuses both together."""
    found = desired(TEXT.replace("{image", f"{{flags: {{{flags}}}, image"))
    assert words(found, "shm-size") == size


def test_earlier_releases_can_read_what_runs_in_no_container() -> None:
    serve = unit(desired(), "vllm")
    assert unit_of(document(serve)) == serve
    bare = replace(serve, program=replace(serve.program, inside=()), ready=())
    program: Any = document(bare)["program"]
    assert "inside" not in program
    assert unit_of(document(bare)) == bare


@root
@pytest.mark.usefixtures("home")
def test_a_program_that_starts_inside_is_found_by_its_pid_outside() -> None:
    pid = start(SLEEP, inside=NEW_PIDS, env={"A": "1"})["pid"]
    until(lambda: pid in {p.pid for p in of("m/0/vllm/a")})
    assert pid != int(processes._status(pid, "NSpid:")[-1])
    assert processes.environment(pid)["A"] == "1"
    assert {p.cluster for p in of("m/0/vllm/a")} == {CLUSTER}


@pytest.mark.parametrize("executor", ["ray", "mp"])
def test_a_container_that_does_not_start_is_named_with_the_engines_reason(executor: str) -> None:
    found = desired(TEXT.replace("\nvllm:\n", f"\nvllm:\n  executor: {executor}\n"))
    box, said = unit(found, "container"), "docker: Error response from daemon: no such path: /x."
    tail = ["0a1b", said, "", "Run 'docker run --help' for more information"]
    why = ended(found.engine, box, 125, tail)
    assert (why.code, why.text) == ("container-start", f"the container did not start: {said}")
    assert why.hint
    assert ended(found.engine, box, 125, []).text == "the container did not start: exit status 125"
    late = ended(found.engine, box, None, [])
    assert (late.code, late.text) == (why.code, "the container did not start within 120 s")


@root
@pytest.mark.usefixtures("home")
def test_what_the_engine_says_is_why_a_program_cannot_start_inside() -> None:
    printed = r"no such container\n\nRun \047docker exec --help\047 for more information\n"
    with pytest.raises(SystemExit, match=r"cannot start vllm: no such container$"):
        start(["vllm"], inside=["sh", "-c", f"printf '{printed}' >&2; exit 1"])


@root
def test_the_shared_memory_of_a_container_is_not_the_nodes() -> None:
    """Its paths are the same, and a file of that name here is somebody else's."""
    script = f"mount -t tmpfs none /dev/shm; exec python3 -c '{MAPS}'"
    argv = ["unshare", "--mount", "sh", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        (process,) = [p for p in processes.table() if p.pid == program.pid]
        assert sharedmemory.mapped([process]) == set()
        program.communicate()
