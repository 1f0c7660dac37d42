"""The lab's model: made once by the lab's runtime, and kept."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from sparkctl.errors import SparkctlError

RUNTIME_FILES = Path(__file__).parent / "runtime"
MAKER = RUNTIME_FILES / "make_model.py"
INSTALLER = RUNTIME_FILES / "install.sh"
# It is written last; its text is the digest of the maker.
STAMP = ".made-by"
TIMEOUT = 120.0  # seconds; 3 s were measured on two cores


def ensure_model(path: Path, runtime: Path) -> None:
    """Make the miniature MiniMaxM2ForCausalLM in the folder `path`, readable for any user.

    `runtime` is the virtual environment that install.sh made. A folder made by the same maker is
    kept; anything else at `path` is replaced, in one step. Raises SparkctlError.
    """
    stamp = hashlib.sha256(MAKER.read_bytes()).hexdigest()
    if _stamp_of(path) == stamp:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as temporary:
        made = Path(temporary) / "model"
        _run_maker(made, runtime / "bin" / "python")
        (made / STAMP).write_text(stamp, encoding="utf-8")
        made.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        made.replace(path)


def _stamp_of(path: Path) -> str | None:
    try:
        return (path / STAMP).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _run_maker(folder: Path, python: Path) -> None:
    install = install_hint(python.parent.parent)
    try:
        subprocess.run(
            [python, MAKER, folder],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except OSError as error:
        raise _failed(f"cannot run {python}: {error.strerror}", install) from error
    except subprocess.TimeoutExpired as error:
        why = f"`{python} {MAKER}` timed out after {TIMEOUT:g} s"
        raise _failed(why, "top(1) shows what keeps this machine busy") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or "no output").splitlines()[-1]
        why = f"`{python} {MAKER}` failed with exit status {error.returncode}: {last}"
        raise _failed(why, install) from error


def _failed(why: str, hint: str) -> SparkctlError:
    return SparkctlError(f"cannot make the lab's model: {why}", hint=hint, code="lab-model-failed")


def install_hint(runtime: Path | str) -> str:
    """How to make the lab's runtime, the virtual environment at `runtime`."""
    return f"install the lab's runtime: bash {INSTALLER} {runtime}"
