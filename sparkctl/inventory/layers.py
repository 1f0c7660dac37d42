"""Reading the env layers that an inventory names."""

from __future__ import annotations

from pathlib import Path

from sparkctl.errors import InventoryError
from sparkctl.inventory.models import Inventory
from sparkctl.serving.environment import Layer, parse_layer


def load_layers(inventory: Inventory, base: Path) -> list[Layer]:
    """The layers in their order; relative paths start at `base`, the inventory's folder.

    Raises InventoryError with every problem of every file.
    """
    layers, problems = [], []
    for name in inventory.env.layers:
        path = base / Path(name).expanduser()
        try:
            layers.append(parse_layer(name, path.read_text()))
        except InventoryError as error:
            problems += error.problems
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            problems.append(f"{path}: the env layer cannot be read: {reason}")
    if problems:
        raise InventoryError(problems, hint="env.layers are files beside the inventory")
    return layers
