"""What a process has in the service's container: the GPU, RDMA, locked memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies, boxes
from sparkctl.doctor.check import Check, Source
from sparkctl.doctor.checks.memlock import CAP_IPC_LOCK, DROP_IN, ENOUGH
from sparkctl.doctor.checks.verbs import provider
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.limits import UNLIMITED
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.unread import Missing, required
from sparkctl.runtimes.container import DOCKER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.containers import BoxLook, Inside

TOOLKIT = (
    "sudo apt-get install nvidia-container-toolkit",
    "sudo nvidia-ctk runtime configure --runtime=docker",
    "sudo systemctl restart docker",
)
CDI = ("sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",)
# Docker with systemd's cgroup driver loses a GPU at the next `systemctl daemon-reload`
# (NVIDIA/nvidia-container-toolkit issue 48).
CGROUPFS = '{"exec-opts": ["native.cgroupdriver=cgroupfs"]}'
LAYER = "RUN apt-get update && apt-get install -y libibverbs1 ibverbs-providers"
SMI, VERBS = "nvidia-smi -L in the container", "/dev/infiniband in the container"


def gpu(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """A container gets the GPU."""
    if snapshot.inventory.views[0].runtime.flags.get("gpus", "all") is None:
        text = "runtime.flags has gpus: null, so the container gets no GPU"
        yield info(text, code="no-gpu-flag")
        return
    look = snapshot.seen(snapshot.looks.inside, name)
    if look.inside is None:
        yield _not_started(snapshot, look)
        return
    yield _gpus(look.inside)


def _not_started(snapshot: Snapshot, look: BoxLook) -> Finding:
    tool = boxes.tool(snapshot)
    cures = {
        "no-toolkit": Remedy("install NVIDIA's container toolkit, which DGX OS has", TOOLKIT),
        "no-cdi": Remedy("describe the GPU for CDI; repeat it after an update of the driver", CDI),
        "unloaded": Remedy("load the driver, see host.gpu", ("nvidia-smi",)),
    }
    other = Remedy(f"see what {tool} says; flags of the inventory are in runtime.flags")
    return fail(
        f"a container does not start: {look.reason}",
        Evidence("a container with the GPU", look.reason, f"{tool} run"),
        cures.get(look.problem, other),
        code="not-started",
        data={"problem": look.problem, "engine": tool},
    )


def _gpus(found: Inside) -> Finding:
    if found.gpus:
        return ok(", ".join(found.gpus), data={"gpus": found.gpus})
    if found.gpu_problem == "absent" and found.devices:
        listed = ", ".join(found.devices)
        return ok(f"{listed}; the image lacks nvidia-smi", data={"devices": found.devices})
    problem = found.gpu_problem or "no-devices"
    got = found.gpu_error or "no GPU"
    return fail(
        f"the container has no usable GPU: {got}",
        Evidence("a GPU", got, SMI),
        _cure(problem),
        code="no-gpu",
        data={"problem": problem, "devices": found.devices},
    )


def _cure(problem: str) -> Remedy:
    if problem == "revoked":
        return Remedy(
            f"docker has lost the GPU since the container's start: write {CGROUPFS} to"
            " /etc/docker/daemon.json, and restart docker and the cluster",
            ("sudo systemctl restart docker", "sparkctl down", "sparkctl up"),
        )
    if problem in ("unloaded", "mismatch"):
        return Remedy("repair the driver, see host.gpu", ("nvidia-smi",))
    text = "install NVIDIA's container toolkit, or describe the GPU for CDI (podman)"
    return Remedy(text, (*TOOLKIT, *CDI))


def rdma(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """NCCL finds RDMA in a container; without it, it silently takes TCP."""
    if len(snapshot.inventory.nodes) < 2:
        yield info("the service has one node", code="one-node")
        return
    found = _inside(snapshot, name).verbs
    wrong = 0
    for hca in snapshot.choice(name).hcas:
        device = found.uverbs.get(hca)
        if device is None or device.error:
            wrong += 1
            yield _no_device(hca, (device and device.error) or "none")
    if found.library:
        yield _no_library(found.library)
        return
    needed = {provider(snapshot, name, hca) for hca in snapshot.choice(name).hcas}
    missing = sorted({each for each in needed if each} - {*found.providers})
    for each in missing:
        yield _no_provider(each, ", ".join(found.providers) or "none")
    if None in needed and not missing:
        yield unknown(
            "which of rdma-core's providers is needed is unknown", code="provider-unknown"
        )
    elif not missing and not wrong:
        yield ok("libibverbs loads, and its devices open")


def _no_device(hca: str, error: str) -> Finding:
    return fail(
        f"{hca} cannot be used in the container ({error}), so NCCL would use TCP",
        Evidence("a device that opens", error, VERBS),
        Remedy(
            "remove `device` from runtime.flags, by which sparkctl passes /dev/infiniband; on the"
            " node its files must be open to the login",
            ("ls -l /dev/infiniband",),
        ),
        code="uverbs-hidden",
        data={"hca": hca, "error": error},
    )


def _no_library(error: str) -> Finding:
    return fail(
        "the image has no libibverbs, so NCCL would use TCP",
        Evidence("libibverbs.so.1 loads", error, "dlopen in the container"),
        Remedy(f"use an image with rdma-core, or add it by a Dockerfile line: {LAYER}"),
        code="libibverbs-missing",
        data={"error": error},
    )


def _no_provider(needed: str, got: str) -> Finding:
    return fail(
        f"the image lacks rdma-core's provider {needed}, so NCCL finds no device",
        Evidence(f"lib{needed}", got, "/usr/lib/*/libibverbs in the container"),
        Remedy(f"use an image with rdma-core, or add it by a Dockerfile line: {LAYER}"),
        code="provider-missing",
        data={"provider": needed},
    )


def memlock(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """A process in the container may lock memory without limit, as RDMA does."""
    found = _inside(snapshot, name)
    if found.memlock == UNLIMITED:
        yield ok("memlock is unlimited")
        return
    size = f"{found.memlock // 1024} KiB"
    if required(found.capabilities, "capabilities") >> CAP_IPC_LOCK & 1:
        yield ok(f"memlock is {size}, which CAP_IPC_LOCK lifts")
        return
    enough = found.memlock >= ENOUGH
    yield (warn if enough else fail)(
        f"memlock is {size} in the container: registering memory for RDMA"
        f" {'may fail' if enough else 'fails'}",
        Evidence("unlimited", size, "RLIMIT_MEMLOCK in the container"),
        _lift(snapshot, name),
        code="memlock-limit",
        data={"limit": found.memlock},
    )


def _lift(snapshot: Snapshot, name: str) -> Remedy:
    view, user = snapshot.inventory.views[0], snapshot.facts(name).user
    ulimit = view.runtime.flags.get("ulimit", [])
    if ulimit is None or "memlock" in str(ulimit):
        dropped = "`ulimit: null`" if ulimit is None else "memlock from `ulimit`"
        return Remedy(f"remove {dropped} in {view.runtime_key}.flags: sparkctl lifts the limit")
    if boxes.tool(snapshot) == DOCKER.name and not boxes.engine(snapshot, name).rootless:
        return Remedy(
            "raise the daemon's own limit: LimitMEMLOCK=infinity under [Service]; the restart ends"
            " all its containers. A docker that runs in a container has the limit of that",
            ("sudo systemctl edit docker", "sudo systemctl restart docker"),
        )
    return Remedy(
        f"without a daemon of root an engine has at most the limit of {user}: lift that, and log in"
        " again",
        (f"{command('echo', f'{user} - memlock unlimited')} | sudo tee -a {DROP_IN}",),
    )


def _inside(snapshot: Snapshot, name: str) -> Inside:
    """Raises Missing where no container starts, which container.gpu says."""
    look = snapshot.seen(snapshot.looks.inside, name)
    if look.inside is None:
        raise Missing(f"no container starts on {name}, see container.gpu", what="inside")
    return look.inside


LOOK = (Source.INSIDE,)
CHECKS = (
    Check("container.gpu", "node", gpu, LOOK, preflight=True, lacks=applies.container),
    Check("container.rdma", "node", rdma, LOOK, preflight=True, lacks=applies.container),
    Check("container.memlock", "node", memlock, LOOK, preflight=True, lacks=applies.container),
)
