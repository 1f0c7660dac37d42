"""A recipe, which is an engine's arguments for a model, and why it was chosen; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.inventory.models import SHORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.inventory.models import Argument

# It runs Python code from the model, so it is a default only for a directory on the node.
REMOTE_CODE = "trust-remote-code"
AUTO, NONE = "auto", "none"  # values of `recipe` that name none


@dataclass(frozen=True)
class Recipe:
    """An engine's arguments for models of these architectures, class names in config.json."""

    name: str
    architectures: tuple[str, ...]
    arguments: Mapping[str, Argument]


@dataclass(frozen=True)
class Choice:
    """The recipe of a model, None where there is none, and why.

    `base` are the engine's arguments without a recipe, `names` the recipes that it has. `unknown`:
    the service's `recipe` is auto and the model's architecture is unknown. `key` is where the
    inventory has the service's settings.
    """

    recipe: Recipe | None
    why: str
    architectures: tuple[str, ...] = ()
    base: Mapping[str, Argument] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    remote_code: bool = False
    unknown: bool = False
    key: str = SHORT

    @property
    def name(self) -> str | None:
        """The recipe's name; None without a recipe."""
        return self.recipe.name if self.recipe else None

    @property
    def defaults(self) -> dict[str, Argument]:
        """The engine's arguments, which those of the inventory override."""
        return {**self.base, **self.allowed}

    @property
    def allowed(self) -> dict[str, Argument]:
        """The recipe's own arguments, but for those that this model may not have."""
        own = self.recipe.arguments if self.recipe else {}
        return {k: v for k, v in own.items() if k != REMOTE_CODE or self.remote_code}

    def fits(self, recipe: Recipe) -> bool:
        """Whether this recipe is for the model."""
        return self.recipe is recipe or any(a in recipe.architectures for a in self.architectures)

    def __str__(self) -> str:
        if self.recipe:
            return f"recipe {self.name}: {self.why}"
        names = f"{', '.join(self.names)} or {NONE}"
        return f"no recipe: {self.why}" + f"; set {self.key}.recipe ({names})" * self.unknown


NO_RECIPE = Choice(None, "the engine has none")
