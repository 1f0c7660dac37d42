"""Templates of pages: every value is masked, then escaped, whichever template prints it."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sparkctl.text import clean

if TYPE_CHECKING:
    from sparkctl.doctor.masking import Masking

LOADER = PackageLoader("sparkctl", "output/templates")


def masked(text: str, masking: Masking) -> str:
    """A text as a page may show it: masked, its control characters escaped."""
    return clean(masking.mask(text))


def environment(masking: Masking) -> Environment:
    """The templates' environment; only Markup, which no node can give, is printed as it is."""

    def shown(value: object) -> object:
        plain = isinstance(value, str) and not isinstance(value, Markup)
        return masked(str(value), masking) if plain else value

    return Environment(
        loader=LOADER,
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style(name: str) -> Markup:
    """A style sheet of the templates' folder, to be put into a page."""
    text, _, _ = LOADER.get_source(Environment(autoescape=True), name)
    return Markup(text)


def policy(sheet: Markup) -> Markup:
    """A content security policy that allows this style sheet and nothing else."""
    digest = b64encode(sha256(sheet.encode()).digest()).decode()
    return Markup(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
    ).format(digest)
