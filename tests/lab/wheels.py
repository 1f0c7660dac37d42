"""Tiny wheels with the names and versions of the real packages, and what the nodes make of them."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from sparkctl.operations.install.pins import PINS, TORCH

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = {"ray": PINS["ray"], "vllm": PINS["vllm"], "torch": TORCH["vllm"]}
OTHER = "0.99.0"  # of vllm, besides the pinned one
BROKEN = "0.98.0"  # of vllm, which cannot be imported


def build(folder: Path) -> Path:
    """A folder with a wheel of each version."""
    folder.mkdir()
    for name, version in VERSIONS.items():
        _write(folder, name, version)
    _write(folder, "vllm", OTHER)
    _write(folder, "vllm", BROKEN, "raise ImportError('undefined symbol: x')")
    return folder


def _write(folder: Path, name: str, version: str, code: str = "") -> None:
    """One wheel, whose program prints its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"{code}\n__version__ = {version!r}\n"
        "def main():\n    print(__version__)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        f"Provides-Extra: default\n{'Requires-Dist: torch' if name == 'vllm' else ''}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
