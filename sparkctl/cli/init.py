"""sparkctl init."""

from __future__ import annotations

from pathlib import Path

import click

from sparkctl.errors import SparkctlError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> None:
    """Write a commented starter inventory and env layers into FOLDER; overwrites nothing."""
    from importlib import resources

    starter = resources.files("sparkctl.inventory") / "starter"
    wanted = {
        folder / ("inventory.yaml" if item.name.endswith(".yaml") else f"env/{item.name}"): item
        for item in starter.iterdir()
        if item.name.endswith((".yaml", ".env"))
    }
    there = sorted(str(path) for path in wanted if path.exists())
    if there:
        raise SparkctlError(
            f"wanted to write new files, found {', '.join(there)}: nothing was written",
            hint="name another folder, or move these away",
        )
    for path, item in sorted(wanted.items()):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(item.read_text())
        click.echo(f"wrote {path}")
    click.echo(f"next: edit {folder / 'inventory.yaml'}, then `sparkctl validate --connect`")
