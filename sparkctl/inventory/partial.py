"""What is valid in an inventory that is not, so that its other rules can be checked as well."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Set

    from sparkctl.inventory.paths import Path


def prefixes(paths: Set[Path]) -> set[Path]:
    """These paths and every path above one of them."""
    return {path[:n] for path in paths for n in range(len(path) + 1)}


def known(model: type[BaseModel], value: Any, bad: Set[Path], path: Path = ()) -> Any:
    """An instance of `model` in which whatever is not known is None, at any depth.

    `bad` holds the paths of what is wrong, and those above. A value that is no mapping is
    nothing; a key that is left out has its default, or None where it is required.
    """
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        here = (*path, name)
        if not isinstance(value, dict) or (name not in value and field.is_required()):
            values[name] = _inside(field.annotation, None, bad, here)
        elif name not in value:
            values[name] = field.get_default(call_default_factory=True)
        elif here in bad:
            values[name] = _inside(field.annotation, value[name], bad, here)
        else:
            values[name] = _typed(field.annotation, value[name])
    given = set(value) & set(values) if isinstance(value, dict) else set()
    return model.model_construct(_fields_set=given, **values)


def _inside(annotation: Any, value: Any, bad: Set[Path], path: Path) -> Any:
    """The valid parts of a value of which a part is bad."""
    for choice in _choices(annotation):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return known(choice, value, bad, path)
        if get_origin(choice) is list and isinstance(value, list):
            inner = get_args(choice)[0]
            return [_item(inner, v, bad, (*path, i)) for i, v in enumerate(value)]
        if get_origin(choice) is dict and isinstance(value, dict):
            return {k: v for k, v in value.items() if (*path, k) not in bad}
    return None


def _item(annotation: Any, value: Any, bad: Set[Path], path: Path) -> Any:
    if path in bad:
        return _inside(annotation, value, bad, path)
    return _typed(annotation, value)


def _typed(annotation: Any, value: Any) -> Any:
    """A valid value as the model would hold it: an address rather than its text."""
    return TypeAdapter(annotation).validate_python(value)


def _choices(annotation: Any) -> list[Any]:
    """The members of a union, without None and without what annotates them."""
    if hasattr(annotation, "__metadata__"):
        return _choices(annotation.__origin__)
    if get_origin(annotation) in (None, list, dict):
        return [] if annotation is NoneType else [annotation]
    return [c for a in get_args(annotation) for c in _choices(a)]
