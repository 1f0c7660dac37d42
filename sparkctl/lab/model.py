"""The lab's model: made on the spot by the lab's runtime, once, and kept."""

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
# Its presence says that every file was written, its text which maker wrote them.
STAMP = ".made-by"
TIMEOUT = 120.0  # seconds; 3 s were measured on two cores


def ensure_model(path: Path, runtime: Path) -> None:
    """Have the miniature MiniMaxM2ForCausalLM in the folder `path`, with mode 0755 for any user.

    `runtime` is the virtual environment that install.sh made. A folder made by this very maker is
    left alone; anything else at `path` is replaced, in one step. Raises SparkctlError.
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
    reinstall = f"make the lab's runtime: bash {INSTALLER} {python.parent.parent}"
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
        raise SparkctlError(
            f"the lab's model needs {python}, which does not run: {error.strerror}",
            hint=reinstall,
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SparkctlError(
            f"the lab's model was not made in {TIMEOUT:.0f} s by {python} {MAKER}",
            hint="see with top(1) what keeps this machine busy, then try again",
        ) from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or "no output").splitlines()[-1]
        raise SparkctlError(
            f"the lab's model was not made: {python} {MAKER} exited {error.returncode}: {last}",
            hint=reinstall,
        ) from error
