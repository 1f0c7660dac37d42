"""sparkctl init."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.errors import SparkctlError

if TYPE_CHECKING:
    from collections.abc import Mapping

INVENTORY = "inventory.yaml"
HINT = "name another folder, or move these away"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> None:
    """Write a commented starter inventory and env layers into FOLDER; overwrite nothing.

    Makes FOLDER (default: the current one) with inventory.yaml and env/*.env. Edit the hosts, the
    user and the model in inventory.yaml, then run `sparkctl validate --connect`.

    \b
    Examples:
      # Make the folder sparks, and go there
      sparkctl init sparks && cd sparks
      # Write into the current folder
      sparkctl init
    """
    from importlib import resources

    from sparkctl.output.starter import print_written
    from sparkctl.output.tryout import is_implied

    starter = resources.files("sparkctl.inventory") / "starter"
    texts = {
        folder / (INVENTORY if item.name.endswith(".yaml") else f"env/{item.name}"): item
        for item in sorted(starter.iterdir(), key=lambda item: item.name)
        if item.name.endswith((".yaml", ".env"))
    }
    there = sorted(str(path) for path in texts if os.path.lexists(path))
    if there:
        raise SparkctlError(
            f"refusing to overwrite {', '.join(there)}; nothing was written",
            hint=HINT,
            code="file-exists",
            data={"files": there},
        )
    _write({path: item.read_bytes() for path, item in texts.items()})
    print_written(texts, folder / INVENTORY, default=is_implied(folder / INVENTORY))


def _write(files: Mapping[Path, bytes]) -> None:
    """Write every file, each a new one, or none of them.

    Raises SparkctlError; what was made before is removed again.
    """
    made: list[Path] = []
    try:
        for path, data in files.items():
            for folder in reversed(path.parents):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            with path.open("xb") as file:
                made.append(path)
                file.write(data)
    except OSError as error:
        _remove(made)
        raise SparkctlError(
            f"cannot write {error.filename or 'the folder'}: {error.strerror}; nothing was written",
            hint=HINT,
            code="file-unwritable",
        ) from error
    except BaseException:
        _remove(made)
        raise


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
