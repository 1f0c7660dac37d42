"""Making and removing the lab."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab import inventory, network, node, statefile
from sparkctl.lab.containers import cgroups, image, tools
from sparkctl.lab.errors import nodes_lost
from sparkctl.lab.existing import (
    STATE,
    Lab,
    State,
    find,
    known_hardware,
    require_root,
    specs,
    status,
)
from sparkctl.lab.faults import journal
from sparkctl.lab.hardware import CONNECTX_7
from sparkctl.lab.lock import exclusive, network_lock
from sparkctl.lab.model import ensure_model, install_hint
from sparkctl.lab.processes import first_pids, kill_all, processes
from sparkctl.lab.spec import MAX_NODES, prefix

__all__ = ["Lab", "down", "find", "processes", "status", "up"]


def up(
    count: int,
    base: Path,
    runtime: Path,
    cache: Path,
    *,
    model: bool,
    hardware: str | None = None,
    containers: str | None = None,
) -> Lab:
    """Make a lab of `count` nodes; removed again when a part of it fails.

    `cache` outlives the lab: the model, and what vLLM compiles. Without `model` none is made, and
    `runtime` need not exist. `hardware` is a name of HARDWARE, None the ConnectX-7 or what the lab
    has already; `containers` a name of CHOICES, None no container engine or what the lab has
    already. Raises SparkctlError, also when `base` has another lab already.
    """
    require_root()
    chosen = tools.chosen(containers)
    tools.require(chosen, node.PATH)
    if hardware is not None:
        known_hardware(hardware)
    if not 1 <= count <= MAX_NODES:
        raise UsageError(
            f"--nodes: expected a number from 1 to {MAX_NODES}, got {count}", code="lab-node-count"
        )
    base, runtime, cache = base.resolve(), runtime.absolute(), cache.resolve()
    if model and not (runtime / "bin/python").exists():
        raise SparkctlError(
            f"cannot make the lab's model: no runtime in {runtime}",
            hint=f"{install_hint(runtime)}; or make a lab without a model: --no-model",
            code="lab-runtime-missing",
        )
    _require_usable(base)
    with exclusive(base, create=True):
        existing = find(base)
        if existing and (running := first_pids(existing.nodes)):
            _require_same(existing, count, hardware, chosen, set(running))
            return existing
        _remove(base)  # what a crash or a reboot left
        try:
            state: State = {"nodes": count, "subnet": "", "hardware": hardware or CONNECTX_7.name}
            state["containers"] = [*chosen]
            return _make(state, base, runtime, cache, model=model)
        except BaseException:
            _remove(base)
            with suppress(OSError):  # the first error says more than one about an empty folder
                base.rmdir()
            raise


def _require_usable(base: Path) -> None:
    """Raises UsageError for a user's own folder, which `lab down` would remove."""
    if (base / STATE).exists():
        return
    why, code = "", "lab-folder-taken"
    if any(c in str(base) for c in ",:\\\n"):
        why, code = "an overlay's path has no comma, colon, backslash or newline", "lab-folder-name"
    elif base.exists() and not base.is_dir():
        why = "it is a file"
    elif base.is_dir() and any(base.iterdir()):
        why = "the folder is not empty"
    if why:
        hint = "choose an empty or new folder with --dir"
        raise UsageError(f"cannot make a lab in {base}: {why}", hint=hint, code=code)


def _require_same(
    existing: Lab, count: int, hardware: str | None, containers: tuple[str, ...], running: set[str]
) -> None:
    have, base = len(existing.nodes), existing.base
    if have != count:
        raise SparkctlError(
            f"cannot change the number of nodes of the lab in {base} from {have} to {count}",
            hint=f"run `sparkctl lab down --dir {base}` first",
            code="lab-size-differs",
            data={"nodes": have, "requested": count},
        )
    if hardware not in (None, existing.hardware.name):
        raise SparkctlError(
            f"cannot change the hardware of the lab in {base} from {existing.hardware.name} to"
            f" {hardware}",
            hint=f"run `sparkctl lab down --dir {base}` first",
            code="lab-hardware-differs",
            data={"hardware": existing.hardware.name, "requested": hardware},
        )
    if containers not in ((), existing.containers):
        have_tools = " and ".join(existing.containers) or "none"
        raise SparkctlError(
            f"cannot change the container engines of the lab in {base} from {have_tools} to"
            f" {' and '.join(containers)}",
            hint=f"run `sparkctl lab down --dir {base}` first",
            code="lab-containers-differ",
            data={"containers": list(existing.containers), "requested": list(containers)},
        )
    if lost := [n.name for n in existing.nodes if n.name not in running]:
        raise nodes_lost(base, lost)


def _make(state: State, base: Path, runtime: Path, cache: Path, *, model: bool) -> Lab:
    with network_lock():  # another lab that is made now must not choose the same subnet
        state["subnet"] = network.free_subnet(base)
        statefile.write(base / STATE, state)
        lab = Lab(base, specs(base, state), containers=tuple(state["containers"]))
        network.make(lab.nodes)
    cache.mkdir(parents=True, exist_ok=True)
    shares = {inventory.CACHE: cache}
    if model:
        ensure_model(cache / "model", runtime)
        shutil.copytree(cache / "model", base / "model")
        sglang = runtime.with_name(f"{runtime.name}-sglang")
        shares |= {p: p for p in (base / "model", runtime, sglang) if p.exists()}
    archive = b""
    if lab.containers:
        venv = runtime if (runtime / "bin/python").exists() else None
        archive = image.archive(Path("/"), venv)
        shares |= {p: p for p in image.folders(Path("/"), venv)}
    node.keygen(base / "client_key")
    authorized = (base / "client_key.pub").read_text()
    hosts = "".join(f"{n.address} {n.name}\n" for n in lab.nodes)
    known, started = "", []
    for each in lab.nodes:
        key = node.prepare(each, hosts=hosts, authorized=authorized)
        if lab.containers:
            node.write_containers(each, lab.containers, archive)
        known += f"{each.address} {key}\n"
        process = node.start(each, shares, cabled=len(lab.nodes) > 1, containers=lab.containers)
        started.append((each, process))
    (base / "known_hosts").write_text(known)
    lab.inventory.write_text(
        inventory.text(lab.nodes, base=base, runtime=runtime, containers=lab.containers)
    )
    for each, process in started:
        node.wait(each, process)
    return lab


def down(base: Path) -> list[str]:
    """Remove everything of the lab, also what a crash left; gives what was there.

    Raises SparkctlError when a process does not end, or a file has an unknown schema.
    """
    require_root()
    base = base.resolve()
    if not base.is_dir():
        return _remove(base)
    with exclusive(base, create=False):
        removed = _remove(base)
        if not any(base.iterdir()):
            base.rmdir()
            removed.append(str(base))
    return removed


def _remove(base: Path) -> list[str]:
    """Remove all but the folder itself, whose content is removed only if a lab made it."""
    for name in (STATE, journal.FILE):
        statefile.refuse_unknown(base / name)
    count = kill_all(lambda: processes(base))
    removed = [f"{count} processes"] if count else []
    removed += [f"cgroup {name}" for name in cgroups.remove(f"{prefix(base)}-*")]
    removed += network.remove(base)
    if (base / STATE).exists():
        for path in base.iterdir():
            if path.name == STATE:
                continue  # removed last, so that an interrupted removal can go on
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        (base / STATE).unlink()
    return removed
