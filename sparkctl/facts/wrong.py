"""What is wrong with an answer, short and printable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.text import clean

if TYPE_CHECKING:
    from pydantic_core import ValidationError

SHOWN = 200  # characters of an answer that an error shows
# Texts for pydantic's kinds of error; a kind that is not here keeps pydantic's text.
WORDS = {
    "missing": "missing",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": "expected text",
    "string_unicode": "expected text",
    "string_pattern_mismatch": "expected printable text",
    "string_too_long": "the text is too long",
    "too_short": "it is empty",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "mapping_type": "expected an object",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
}


def first(error: ValidationError, *above: str) -> str:
    """Where and what the first problem is, short and printable."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in (*above, *found["loc"])) or "the answer"
    said = WORDS.get(found["type"], found["msg"])
    return clean(f"{path[:SHOWN]}: {said[:SHOWN]}")
