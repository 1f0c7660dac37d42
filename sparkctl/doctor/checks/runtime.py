"""Python, Ray, vLLM and the model on the nodes: present, whole, the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check, Source, per_node
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.unread import Missing, known, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View

PACKAGE = "dgx-sparkctl[node]"  # what brings Ray and vLLM to a node
MODULES = ("torch", "ray", "vllm")  # what the runtime must be able to import

# From here on vLLM's Ray executor (V2) leaves alone what a node has set itself; V1 copied the
# head's NCCL_*, UCX_* and VLLM_* over it (vLLM 0.17 to 0.32 have both).
CARRIES_PER_NODE = (0, 22, 1)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def present(view: View, name: str) -> Iterator[Finding]:
    """The runtime's virtual environment with the programs that this node runs."""
    found, role = known(view.facts(name).runtime), view.node(name).role
    venv = found.venv
    remedy = Remedy(
        f"make the virtual environment on {name}, or set runtime.venv",
        (command("python3", "-m", "venv", venv), command(f"{venv}/bin/pip", "install", PACKAGE)),
    )
    wanted = ("ray", "vllm") if role == "head" else ("ray",)
    if not found.exists:
        yield fail(
            f"no virtual environment at {venv}",
            Evidence("a virtual environment", "none", f"{venv}/bin/python"),
            remedy,
        )
        return
    missing = [p for p in wanted if not found.programs[p]]
    for program in missing:
        yield fail(
            f"no {program} in {venv}/bin",
            Evidence(f"{program}, executable", "none", f"{venv}/bin/{program}"),
            remedy,
        )
    vllm = found.versions.get("vllm")
    if vllm and _numbers(vllm) < CARRIES_PER_NODE:
        yield warn(
            f"vLLM {vllm} overwrites each worker's NCCL and VLLM settings with the head's",
            Evidence("0.22.1 or newer", vllm, f"{venv}'s metadata"),
            Remedy("install a newer vLLM, or name the variables that differ between the nodes in"
                   " ray_non_carry_over_env_vars.json of VLLM_CONFIG_ROOT"),
        )  # fmt: skip
    silent = [p for p in wanted if p not in missing and p not in found.versions]
    for program in silent:
        yield unknown(f"the version of {program} could not be read: {venv} has no metadata of it")
    if not missing and not silent:
        versions = ", ".join(f"{k} {v}" for k, v in found.versions.items())
        yield ok(
            f"Python {required(known(view.facts(name).runtime).python, 'runtime.python')}, {versions}"
        )


def imports(view: View, name: str) -> Iterator[Finding]:
    """Ray, torch and vLLM can be imported: their binaries fit each other."""
    found = view.seen(view.looks.imports, name)
    venv = known(view.facts(name).runtime).venv
    broken = {m: answer.error for m, answer in found.items() if answer.error}
    for module, error in broken.items():
        yield fail(
            f"{module} cannot be imported: {error}",
            Evidence(
                f"import {module} works",
                error,
                command(f"{venv}/bin/python", "-c", f"import {module}"),
            ),
            Remedy(
                "torch and vllm have to match: install both together",
                (command(f"{venv}/bin/pip", "install", "--force-reinstall", PACKAGE),),
            ),
        )
    silent = [m for m in MODULES if m not in found]
    if silent:
        yield unknown(f"{', '.join(silent)} were not tried")
    elif not broken:
        yield ok(", ".join(f"{m} {a.version}".strip() for m, a in found.items()))


# What must be equal, and how much it matters: Ray's workers refuse another Ray or Python
# (Ray 2.60, run); ranks with another vLLM, torch or NCCL hang (reports of DGX Spark users).
NEEDED = ("ray", "vllm", "torch")
EQUAL = (*NEEDED, "nvidia_nccl_cu12", "nvidia_nccl_cu13")  # a build for the CPU has no NCCL


def versions(view: View) -> Iterator[Finding]:
    """The same Python and packages everywhere, to the patch level."""
    head = view.inventory.head.name
    wanted = _installed(view, head)
    yield from per_node(view, lambda name: _differences(view, name, wanted))


def _installed(view: View, name: str) -> dict[str, str]:
    """Python's and each package's version on a node; Missing where there is nothing to compare."""
    found = known(view.facts(name).runtime)
    if not found.exists:
        raise Missing(f"{name} has no runtime at {found.venv}")
    if not found.versions:
        raise Missing(f"{name} has no metadata of packages at {found.venv}")
    return {
        "Python": required(known(view.facts(name).runtime).python, "runtime.python"),
        **found.versions,
    }


def _differences(view: View, name: str, wanted: dict[str, str]) -> Iterator[Finding]:
    head = view.inventory.head.name
    if name == head:
        return
    venv, found = known(view.facts(name).runtime).venv, _installed(view, name)
    unknowns = [n for n in NEEDED if n not in wanted and n not in found]
    different = [n for n in ("Python", *EQUAL) if wanted.get(n) != found.get(n)]
    for what in different:
        want, have = wanted.get(what), found.get(what)
        yield fail(
            f"{what} is {have or 'absent'}, the head {head} has {want or 'none'}",
            Evidence(want or "none", have or "absent", venv),
            Remedy(
                f"install the same {what} on every node",
                (command(f"{venv}/bin/pip", "install", f"{what}=={want}"),)
                if want and what != "Python"
                else (),
            ),
            node=name,
        )
    for what in unknowns:
        yield unknown(f"neither {name} nor {head} has metadata of {what}", node=name)
    if not different and not unknowns:
        yield ok(f"the same versions as {head}", node=name)


def model(view: View, name: str) -> Iterator[Finding]:
    """The checkpoint is there and whole, where vllm.model is a path."""
    found = known(view.facts(name).model)
    if not found.is_path:
        yield info(f"{view.inventory.vllm.model} is a hub's name, vLLM fetches it")
        return
    path = found.path
    # Each node's own home, but every rank is given the head's path.
    opened = _head_path(view) if view.inventory.vllm.model.startswith("~/") else path
    if opened != path:
        head = view.inventory.head.name
        yield fail(
            f"vLLM opens {opened}, {head}'s {view.inventory.vllm.model}; here it is {path}",
            Evidence(opened, path, "the homes of the SSH users"),
            Remedy("set vllm.model to an absolute path that is the same on every node"),
        )
        return
    remedy = _copy(view, name, path)
    for wrong, wanted, what in (
        (not found.exists, "a directory", f"no directory {path}"),
        (not found.config, "config.json", f"no config.json in {path}"),
        (not found.shards, "*.safetensors", f"no *.safetensors in {path}"),
        (found.missing, "every shard of the index",
         f"{path} lacks {', '.join(found.missing[:3])}"),
    ):  # fmt: skip
        if wrong:
            yield fail(what, Evidence(wanted, "none", path), remedy)
            return
    for shard in found.broken:
        wanted = f"{shard.wanted} bytes" if shard.wanted else "a safetensors header"
        yield fail(
            f"{shard.name} is damaged: its header promises {wanted}, it has {shard.found} bytes",
            Evidence(wanted, f"{shard.found} bytes", f"{path}/{shard.name}"),
            remedy,
        )
    for shard in found.unreadable:
        whose = f"{shard.user or 'uid'} ({shard.uid}), mode {shard.mode}"
        user = view.facts(name).user
        yield fail(
            f"{user} may not read {shard.name}: it belongs to {whose}",
            Evidence(f"readable for {user}", whose, f"{path}/{shard.name}"),
            Remedy(f"give the checkpoint to {user}: files made by root in a container are root's",
                   (command("sudo", "chown", "-R", user, path),)),
        )  # fmt: skip
    if not found.broken and not found.unreadable:
        yield ok(f"{found.shards} shards, {found.bytes / 2**30:.2f} GiB at {path}")


def _head_path(view: View) -> str:
    return str(required(known(view.facts(view.inventory.head.name).model).path, "model.path"))


def _copy(view: View, name: str, path: str) -> Remedy:
    """The checkpoint from the head, by the address that the inventory has for it; the head's own
    comes from where somebody got it.
    """
    head = view.inventory.head
    if name == head.name:
        return Remedy(
            f"copy the checkpoint to {path} on {name} from a node that has it whole, or download"
            " it again, or set vllm.model"
        )
    ssh = view.inventory.ssh_of(head)
    host = f"[{head.host}]" if ":" in head.host else head.host
    source = f"{ssh.user}@{host}" if ssh.user else host
    port = ("--rsh", f"ssh -p {ssh.port}") if ssh.port else ()
    # A remote shell would otherwise split the path at spaces (rsync before 3.2.4).
    how = ("--archive", "--checksum", "--protect-args", *port)
    return Remedy(
        f"copy the checkpoint to {path} on {name} again, or set vllm.model",
        (command("rsync", *how, f"{source}:{path}/", f"{path}/"),),
    )


def same_model(view: View) -> Iterator[Finding]:
    """The same configuration, index and sizes on every node."""
    head = view.inventory.head.name
    wanted = known(view.facts(head).model)
    if not wanted.is_path:
        return
    if not wanted.exists:
        raise Missing(f"{head} has no model at {wanted.path}")
    digest = required(known(view.facts(head).model).digest, "model.digest")
    yield from per_node(view, lambda name: _same_digest(view, name, digest))


def _same_digest(view: View, name: str, wanted: str) -> Iterator[Finding]:
    head, found = view.inventory.head.name, known(view.facts(name).model)
    if name == head:
        return
    if not found.exists:
        raise Missing(f"{name} has no model at {found.path}")
    if required(known(view.facts(name).model).digest, "model.digest") == wanted:
        yield ok(f"the same checkpoint as {head}", node=name)
        return
    sizes = [known(view.facts(n).model).get("bytes") for n in (head, name)]
    yield warn(
        f"the checkpoint differs from {head}'s",
        Evidence(f"{sizes[0]} bytes", f"{sizes[1]} bytes", view.inventory.vllm.model),
        Remedy(f"copy it from {head} again"),
        node=name,
    )


CHECKS = (
    Check("runtime.present", "node", present, preflight=True),
    Check("runtime.imports", "node", imports, needs=(Source.IMPORTS,)),
    Check("runtime.versions", "cluster", versions, preflight=True),
    Check("model.present", "node", model, preflight=True),
    Check("model.same", "cluster", same_model, preflight=True),
)
