"""Faults of what the runtime has installed, and of the model's copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault
from sparkctl.lab.faults.needs import missing, runtime

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

# Changes the version of Ray in the folder $1 from $2 to $3, in its metadata and in its code.
RELEASE = """\
cd "$1"
mv "ray-$2.dist-info" "ray-$3.dist-info"
sed -i "s/^Version: $2$/Version: $3/" "ray-$3.dist-info/METADATA"
sed -i "s/\\"$2\\"/\\"$3\\"/" ray/_version.py
"""


def packages(target: Target) -> tuple[str, str]:
    """The folder of the runtime's packages, this machine's own, under an overlay; Ray's version."""
    find = f"ls -d {runtime(target)}/lib/python3*/site-packages/ray-*.dist-info"
    site, _, name = target.run("sh", "-c", find).strip().rpartition("/")
    upper, work = target.folder / "upper", target.folder / "work"
    target.run("mkdir", str(upper), str(work))
    options = f"lowerdir={site},upperdir={upper},workdir={work}"
    target.change(f"mount -t overlay -o {options} overlay {site}", "unmount", path=site)
    return site, name.removeprefix("ray-").removesuffix(".dist-info")


def _ray_version(target: Target) -> None:
    site, version = packages(target)
    major, minor, patch = version.split(".")[:3]
    other = f"{major}.{minor}.{int(patch) + 1}"
    target.run("sh", "-ec", RELEASE, "sh", site, version, other)


def _model(target: Target) -> str:
    return f"{target.lab.base}/model"


def _hide_model(target: Target) -> None:
    """Hides the whole lab's folder: the node needs nothing else of it."""
    target.hide(target.lab.base)


def _truncate(target: Target) -> None:
    shards = target.run("sh", "-c", f"ls {_model(target)}/*.safetensors").split()
    if not shards:
        raise missing(target, f"no *.safetensors in {_model(target)}", "make the lab again")
    half = f"{target.folder}/shard"
    size = int(target.run("stat", "-c", "%s", shards[-1])) // 2
    target.run("cp", shards[-1], half)
    target.run("truncate", f"--size={size}", half)
    target.cover_by(shards[-1], half)


# Makes of the model $1 a copy in $2 whose shards are links, as a folder of the hub's cache without
# the `blobs` that they lead to.
LINKS = """\
cp --recursive "$1" "$2"
for shard in "$2"/*.safetensors; do
    ln --symbolic --force "../../blobs/$(basename "$shard").sha256" "$shard"
done
"""


def _dangle(target: Target) -> None:
    links = f"{target.folder}/links"
    target.run("sh", "-ec", LINKS, "sh", _model(target), links)
    target.cover_by(_model(target), links)


FAULTS = (
    Fault(
        "ray-version",
        "Ray reports the next patch release as its version (imitated)",
        _ray_version,
        touches=("site-packages",),
        needs="runtime",
    ),
    Fault(
        "model-missing",
        "the model's folder is missing",
        _hide_model,
        touches=("model",),
        needs="model",
    ),
    Fault(
        "model-truncated",
        "half of the model's last shard is missing, as after an interrupted copy",
        _truncate,
        touches=("model",),
        needs="model",
    ),
    Fault(
        "dangling-links",
        "the model's shards are links to files that are missing",
        _dangle,
        touches=("model",),
        needs="model",
    ),
)
