"""Reading the env layers that an inventory names."""

from __future__ import annotations

from pathlib import Path

from sparkctl.errors import InventoryError
from sparkctl.inventory.models import Inventory
from sparkctl.serving.environment import Layer, parse_layer

MAX_BYTES = 64 * 1024


def load_layers(inventory: Inventory, base: Path) -> list[Layer]:
    """The layers in their order; relative paths start at `base`, the inventory's folder.

    Raises InventoryError with every problem of every file.
    """
    layers, problems = [], []
    for name in inventory.env.layers:
        try:
            layers.append(parse_layer(name, _text(base / Path(name).expanduser())))
        except InventoryError as error:
            problems += error.problems
        except (OSError, ValueError, RuntimeError) as error:  # no such file, not UTF-8, no ~user
            said = getattr(error, "strerror", None) or error
            problems.append(f"{base / name}: wanted an env layer, it cannot be read: {said}")
    if problems:
        hint = "env.layers names files beside the inventory that hold KEY=VALUE lines"
        raise InventoryError(problems, hint=hint)
    return layers


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8") from None
