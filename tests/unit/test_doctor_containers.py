"""The checks of containers: each fault is found on its node, with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor import boxes
from sparkctl.doctor.cause_tables import DECIDING
from sparkctl.doctor.check import Source
from sparkctl.doctor.collect import collect
from sparkctl.doctor.log_causes import Question
from sparkctl.doctor.preflight import preflight
from sparkctl.doctor.table import CHECKS
from sparkctl.facts.calls import BOX_LOOK, IMPORTS
from sparkctl.facts.unread import Unread
from tests.unit.answers import container, process
from tests.unit.boxview import BOXED, REFERENCE, UNIT, boxed, own
from tests.unit.doctorview import examined, healthy, wrong
from tests.unit.test_doctor_collect import Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.doctorview import Answers

    Change = Callable[[Answers], object]

ONE, TWO = "spark-1", "spark-2"
IDS = {check.id for check in CHECKS if check.id.startswith("container.")}
OTHER = "sha256:" + "b2" * 32
IPC_LOCK = 1 << 14


def docker(**values: Any) -> Change:
    """Changes docker's answer on the second node."""

    def change(answers: Answers) -> None:
        answers.facts[TWO]["containers"]["engines"]["docker"].update(values)

    return change


def image(**values: Any) -> Change:
    return lambda a: a.facts[TWO]["containers"]["engines"]["docker"]["image"].update(values)


def there(*containers: dict[str, Any]) -> Change:
    return docker(containers=[*containers])


def broken(problem: str, reason: str = "why") -> Change:
    return docker(problem=problem, reason=reason, image=None)


def inside(**values: Any) -> Change:
    return lambda a: a.looks["inside"][TWO]["inside"].update(values)


def verbs(**values: Any) -> Change:
    def change(answers: Answers) -> None:
        found = answers.looks["inside"][TWO]["inside"]
        found["verbs"] = {**found["verbs"], **values}

    return change


def unstarted(problem: str) -> Change:
    looked = {"problem": problem, "reason": "docker: Error", "inside": None}
    return lambda a: a.looks["inside"].update({TWO: looked})


def rootless(answers: Answers) -> None:
    docker(rootless=True)(answers)
    answers.facts[TWO]["system"]["linger"] = False


def no_program(answers: Answers) -> None:
    answers.facts[TWO]["runtime"]["programs"]["ray"] = False


def other_version(answers: Answers) -> None:
    answers.facts[TWO]["runtime"]["versions"]["ray"] = "2.59.0"


BROKEN = {"problem": "revoked", "error": "Failed to initialize NVML: Unknown Error"}
REVOKED = {"gpus": None, "gpu_error": BROKEN["error"], "gpu_problem": BROKEN["problem"]}
# The change, the check, the code, and what the remedy names.
CASES: list[tuple[Change, str, str, str, str]] = [
    (broken("denied"), "container.engine", "FAIL", "engine-unusable", "usermod -aG docker root"),
    (broken("stopped"), "container.engine", "FAIL", "engine-unusable", "systemctl start docker"),
    (broken("absent"), "container.engine", "FAIL", "engine-unusable", "apt-get install docker.io"),
    (broken("failed"), "container.engine", "FAIL", "engine-unusable", "docker info"),
    (rootless, "container.engine", "WARN", "no-linger", "enable-linger root"),
    (docker(image=None), "container.image", "FAIL", "no-image", "image sync --from spark-1"),
    (image(architecture="arm64"), "container.image", "FAIL", "other-architecture", "runtime.image"),
    (image(id=OTHER), "container.image", "FAIL", "image-differs", "image sync --from spark-1"),
    (unstarted("no-toolkit"), "container.gpu", "FAIL", "not-started", "nvidia-container-toolkit"),
    (unstarted("no-cdi"), "container.gpu", "FAIL", "not-started", "nvidia-ctk cdi generate"),
    (unstarted("unloaded"), "container.gpu", "FAIL", "not-started", "host.gpu"),
    (unstarted("failed"), "container.gpu", "FAIL", "not-started", "runtime.flags"),
    (inside(**REVOKED), "container.gpu", "FAIL", "no-gpu", "native.cgroupdriver=cgroupfs"),
    (inside(gpus=[]), "container.gpu", "FAIL", "no-gpu", "toolkit"),
    (verbs(uverbs={}), "container.rdma", "FAIL", "uverbs-hidden", "ls -l /dev/infiniband"),
    (verbs(library="none"), "container.rdma", "FAIL", "libibverbs-missing", "ibverbs-providers"),
    (verbs(providers=["efa"]), "container.rdma", "FAIL", "provider-missing", "ibverbs-providers"),
    (inside(memlock=2**23), "container.memlock", "FAIL", "memlock-limit", "systemctl edit docker"),
    (inside(memlock=2**31), "container.memlock", "WARN", "memlock-limit", "LimitMEMLOCK=infinity"),
    (
        there(container("x", gpu=True, memory=2**30, state="exited")),
        "container.memory",
        "WARN",
        "memory-limit",
        "its own options",
    ),
    (
        there(container("x", gpu=True, restart="always", state="exited")),
        "container.restart",
        "WARN",
        "restart-policy",
        "docker update --restart no x",
    ),
    (there(container("x", gpu=True)), "container.foreign", "WARN", "foreign-container", "stop x"),
    (
        there(container("x", gpu=True, cluster="other", user="0")),
        "container.foreign",
        "WARN",
        "foreign-container",
        "stop x",
    ),
    (
        there(own(TWO, state="exited")),
        "container.leftovers",
        "WARN",
        "leftover-container",
        "docker rm --force",
    ),
    (there(own(TWO)), "container.leftovers", "WARN", "leftover-container", "docker rm --force"),
    (no_program, "runtime.present", "FAIL", "no-program", "vllm.executor: mp; or"),
    (other_version, "runtime.versions", "FAIL", "version-differs", "image sync --from spark-1"),
]


def test_a_healthy_pair_in_containers_has_neither_failure_nor_warning() -> None:
    answers = boxed()
    for facts in answers.facts.values():
        facts["system"]["capabilities"] = 0  # a login's limit is no container's
        facts["system"]["limits"]["memlock"] = 2**23
        facts["verbs"] = {**facts["verbs"], "library": "none"}
    assert wrong(answers) == set()


@pytest.mark.parametrize(("change", "check", "severity", "code", "remedy"), CASES)
def test_each_fault_is_found_on_its_node(
    change: Change, check: str, severity: str, code: str, remedy: str
) -> None:
    answers = boxed()
    change(answers)
    (finding, *_) = [f for f in examined(answers, check) if f.severity.value == severity]
    assert (finding.node, finding.code) == (TWO, code)
    assert finding.evidence
    assert finding.fix
    assert remedy in "\n".join((finding.fix.text, *finding.fix.to_paste))
    assert "CRASH" not in {s for _, _, s in wrong(answers)}


def test_the_checks_concern_containers_alone() -> None:
    found = [f for f in examined(healthy()) if f.check in IDS]
    assert {f.code for f in found} == {"not-applicable"}


def test_what_a_container_lacks_refuses_a_start() -> None:
    answers = boxed()
    for change in (image(id=OTHER), no_program):
        change(answers)
    refused = {f.check for f in preflight(Asked(answers), passive=True)}
    assert refused == {"container.image", "runtime.present"}
    early = {check.id.partition(".")[2] for check in CHECKS if check.preflight and check.id in IDS}
    assert early == {"engine", "image", "mounts", "gpu", "rdma", "memlock"}


def test_nothing_is_said_of_a_container_that_no_engine_starts() -> None:
    answers = boxed()
    broken("denied")(answers)
    docker_on(answers, ONE).update(containers=[container("x", gpu=True)])
    bad = {(check, severity) for check, node, severity in wrong(answers) if node == TWO}
    assert ("container.engine", "FAIL") in bad
    assert {severity for check, severity in bad if check != "container.engine"} == {"UNKNOWN"}


def docker_on(answers: Answers, name: str) -> dict[str, Any]:
    found: dict[str, Any] = answers.facts[name]["containers"]["engines"]["docker"]
    return found


def test_an_image_without_registry_is_the_same_by_its_digest() -> None:
    answers = boxed()
    for name in (ONE, TWO):
        docker_on(answers, name)["image"]["digests"] = [f"{REFERENCE}@sha256:9"]
    image(id=OTHER)(answers)
    assert {f.code for f in examined(answers, "container.image")} == {"ok"}


def test_an_image_that_no_node_has_is_pulled_on_the_head() -> None:
    answers = boxed()
    for name in (ONE, TWO):
        docker_on(answers, name)["image"] = None
    found = examined(answers, "container.image", "runtime.present", "container.engine")
    (first, *_) = [f for f in found if f.code == "no-image"]
    assert first.fix
    assert first.fix.to_paste == (
        f"docker pull {REFERENCE}",
        "sparkctl image sync --from spark-1",
    )


def test_of_several_services_the_image_of_one_is_copied() -> None:
    """Another service may have no node that is the source."""
    own = "{model: /models/m2, tensor_parallel_size: 1, nodes: [spark-%d]}"
    services = f"services: {{a: {own % 1}, b: {own % 2}}}\n"
    text = BOXED.partition("vllm: ")[0].replace(", role: head", "").replace(", role: worker", "")
    parts = boxed(text + services).snapshot().parts
    assert boxes.sync(parts[1], TWO) == "sparkctl image sync b --from spark-2"


def test_a_container_of_root_may_lock_memory_by_its_capability() -> None:
    answers = boxed()
    inside(memlock=2**23, capabilities=IPC_LOCK)(answers)
    assert {f.code for f in examined(answers, "container.memlock")} == {"ok"}


def test_a_rootless_engine_lifts_no_limit() -> None:
    answers = boxed()
    docker(rootless=True)(answers)
    inside(memlock=2**23)(answers)
    (finding,) = [f for f in examined(answers, "container.memlock") if f.node == TWO]
    assert finding.fix
    assert "root - memlock unlimited" in finding.fix.to_paste[0]


@pytest.mark.parametrize("value", ["null", "[memlock=1:1]", "memlock=1"])
def test_a_limit_that_the_inventory_sets_is_removed_there(value: str) -> None:
    flags = f"'{REFERENCE}', flags: {{ulimit: {value}}}"
    answers = boxed(BOXED.replace(f"'{REFERENCE}'", flags))
    inside(memlock=2**23)(answers)
    (finding,) = [f for f in examined(answers, "container.memlock") if f.node == TWO]
    assert finding.fix
    assert "`ulimit" in finding.fix.text
    assert not finding.fix.commands


def test_flags_of_the_inventory_are_judged() -> None:
    flags = BOXED.replace("}", ", flags: {memory: 100g, gpus: null}}", 3)
    text = flags.replace(", flags: {memory: 100g, gpus: null}}", "}", 2)
    answers = boxed(text)
    unstarted("no-toolkit")(answers)
    codes = {f.check: f.code for f in examined(answers, "container.memory", "container.gpu")}
    assert codes["container.gpu"] == "no-gpu-flag"
    (flag, *_) = examined(answers, "container.memory")
    assert (flag.code, flag.severity.value) == ("memory-flag", "WARN")


def test_an_image_without_nvidia_smi_may_have_the_gpu() -> None:
    answers = boxed()
    inside(gpus=None, gpu_error="nvidia-smi: No such file", gpu_problem="absent")(answers)
    assert {f.code for f in examined(answers, "container.gpu")} == {"ok"}
    inside(devices=[])(answers)
    assert {f.code for f in examined(answers, "container.gpu")} == {"ok", "no-gpu"}


def test_a_look_goes_into_the_services_own_container_where_that_runs() -> None:
    answers = boxed()
    there(own(TWO))(answers)
    snapshot = answers.snapshot()
    assert boxes.words(snapshot, ONE)[:3] == ("docker", "run", "--rm")
    assert "--mount" not in boxes.words(snapshot, ONE), "a start makes some of the sources"
    assert boxes.words(snapshot, TWO)[:2] == ("docker", "exec")
    session = Asked(answers)
    collect(session, session.inventory.nodes, [Source.INSIDE, Source.IMPORTS])
    assert session.requests[TWO, BOX_LOOK.target]["argv"][:2] == ["docker", "exec"]
    assert session.requests[ONE, IMPORTS.target] == {"modules": ["torch", "ray", "vllm"]}


def test_no_look_is_taken_into_an_image_that_is_not_there() -> None:
    answers = boxed()
    docker(image=None)(answers)
    session = Asked(answers)
    snapshot = collect(session, session.inventory.nodes, [Source.INSIDE])
    assert {node for node, _ in session.requests} == {ONE}
    found = snapshot.looks.inside[TWO]
    assert isinstance(found, Unread)
    assert (found.what, found.kind) == ("inside", "absent")
    assert not collect(Asked(), Asked().inventory.nodes, [Source.INSIDE]).looks.inside


def test_a_remedy_inside_waits_for_the_image() -> None:
    answers = boxed()
    for change in (image(id=OTHER), inside(memlock=2**23), verbs(library="none")):
        change(answers)
    waiting = {
        f.check: [prior.check for prior in f.fix.after]
        for f in examined(answers)
        if f.fix and f.fix.after
    }
    assert waiting == {
        "container.rdma": ["container.image"],
        "container.memlock": ["container.image"],
    }


def test_what_a_log_leaves_open_is_decided_inside() -> None:
    answers = boxed()
    verbs(library="none")(answers)
    found = examined(answers, *DECIDING["libibverbs-missing"])
    question = Question("libibverbs-missing", None, frozenset(), proven=False, by_selection=False)
    assert [(f.check, f.node) for f in found if question.shown_by(f)] == [("container.rdma", TWO)]
    assert {f.severity.value for f in found if f.check == "fabric.libraries"} == {"INFO"}


def test_a_container_has_the_images_variables_and_none_of_a_login() -> None:
    answers, found = boxed(), {"NCCL_NET": "Socket"}
    for facts in answers.facts.values():
        facts["settings"]["session"] = found
        facts["settings"]["conf"] = [{"path": "/etc/nccl.conf", "values": found}]
    assert wrong(answers) == set()
    answers.facts[TWO]["runtime"]["environment"] = found
    (finding,) = [f for f in examined(answers, "settings.forced") if f.code == "net-forced"]
    assert (finding.node, finding.evidence[0].where) == (TWO, f"the image {REFERENCE}")


def test_what_keeps_a_container_has_no_planned_environment() -> None:
    answers = boxed()
    keeper = process("container", "sleep infinity", unit=UNIT.format(TWO), environment={"A": "b"})
    answers.facts[TWO]["ours"] = [keeper]
    assert {f.code for f in examined(answers, "running.environment")} == {"not-running"}
