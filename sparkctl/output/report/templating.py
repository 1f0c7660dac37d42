"""Templates of pages: every value is masked, then escaped, whichever template prints it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sparkctl.text import clean

if TYPE_CHECKING:
    from sparkctl.doctor.masking import Masking

CODE = re.compile(r"`([^`\n]+)`")
LOADER = PackageLoader("sparkctl", "output/report/templates")


def masked(text: str, masking: Masking) -> str:
    """A text as a page may show it: masked, its control characters escaped."""
    return clean(masking.mask(text))


def environment(masking: Masking) -> Environment:
    """The templates' environment; only Markup, which no node can give, is printed as it is."""

    def shown(value: object) -> object:
        plain = isinstance(value, str) and not isinstance(value, Markup)
        return masked(str(value), masking) if plain else value

    found = Environment(
        loader=LOADER,
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["prose"] = lambda text: _prose(masked(text, masking))
    return found


def _prose(text: str) -> Markup:
    """A masked text with what stands in backticks as code."""
    parts = CODE.split(text)  # every second one was in backticks
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(p) if n % 2 else p for n, p in enumerate(parts))


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
