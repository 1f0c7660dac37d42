"""The valid part of an inventory with errors, so that the rules between its fields are checked."""

from __future__ import annotations

from types import NoneType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeAlias,
    TypeGuard,
    TypeVar,
    get_args,
    get_origin,
)

from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Set
    from ipaddress import IPv4Address, IPv4Network

    from sparkctl.inventory.paths import Path
    from sparkctl.inventory.yamlread import Value

M = TypeVar("M", bound=BaseModel)
Form: TypeAlias = object  # a class, a union or a generic: anything that get_args takes
Part: TypeAlias = "BaseModel | IPv4Address | IPv4Network | Value | list[Part] | dict[str, Part]"


def prefixes(paths: Set[Path]) -> set[Path]:
    """These paths and every path above one of them."""
    return {path[:n] for path in paths for n in range(len(path) + 1)}


def valid_part(model: type[M], value: Value, bad: Set[Path], path: Path = ()) -> M:
    """An instance of `model` in which whatever is not valid is None, at any depth.

    `bad` holds the paths with an error, and those above. Of a value that is no mapping every
    field is None; a key that is left out has its default, or None where it is required.
    """
    given = value if isinstance(value, dict) else {}
    values: dict[str, Part] = {}
    for name, field in model.model_fields.items():
        here = (*path, name)
        if name in given and here not in bad:
            values[name] = _typed(field.annotation, given[name])
        elif name in given or field.is_required() or not isinstance(value, dict):
            values[name] = _inside(field.annotation, given.get(name), bad, here)
        else:
            values[name] = field.get_default(call_default_factory=True)
    return model.model_construct(_fields_set=given.keys() & values.keys(), **values)


def _inside(annotation: Form, value: Value, bad: Set[Path], path: Path) -> Part:
    """The valid parts of a value that has an error."""
    for choice in _choices(annotation):
        if _is_model(choice):
            return valid_part(choice, value, bad, path)
        if get_origin(choice) is list and isinstance(value, list):
            inner: Form = get_args(choice)[0]
            return [_item(inner, item, bad, (*path, i)) for i, item in enumerate(value)]
        if get_origin(choice) is dict and isinstance(value, dict):
            if _is_model(item := get_args(choice)[1]):
                return {k: _item(item, v, bad, (*path, k)) for k, v in value.items()}
            return {k: v for k, v in value.items() if (*path, k) not in bad}
    return None


def _is_model(form: Form) -> TypeGuard[type[BaseModel]]:
    return isinstance(form, type) and issubclass(form, BaseModel)


def _item(annotation: Form, value: Value, bad: Set[Path], path: Path) -> Part:
    return _inside(annotation, value, bad, path) if path in bad else _typed(annotation, value)


def _typed(annotation: Any, value: Value) -> Part:
    """A valid value as the model has it: an address rather than its text."""
    adapter: TypeAdapter[Part] = TypeAdapter(annotation)
    return adapter.validate_python(value)


def _choices(annotation: Form) -> list[Form]:
    """The members of a union, without None and without their metadata."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    if get_origin(annotation) in (None, list, dict):
        return [] if annotation is NoneType else [annotation]
    return [c for a in get_args(annotation) for c in _choices(a)]
