"""One self-contained page from a template: styles and script are part of it, foreign text is never markup.

All that a template prints goes through `plain.harmless` and then through jinja2's autoescape: no subject, banner, file
name or line of lftp's can become an element, a control character or a right-to-left override. The page's policy (CSP)
lets nothing be fetched, and no script run but ours.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from ftps_harness.report.plain import harmless

_FOLDER: Final = Path(__file__).parent

_STYLES: Final = ("style.css", "diagram.css")
_SCRIPT: Final = "page.js"

STATUS_WORDS: Final = {
    "pass": "Passed",
    "fail": "Failed",
    "error": "Error",
    "skip": "Skipped",
    "not-claimed": "Not claimed",
    "severe": "Error",
    "warning": "Warning",
    "note": "Note",
    "ignored": "Ignored",
}
"""Status, or severity of a finding → the word beside its mark: colour never says it alone."""

MARKS: Final = {
    "pass": "✓",
    "fail": "✗",
    "error": "!",
    "skip": "–",  # noqa: RUF001 - a dash on purpose
    "not-claimed": "–",  # noqa: RUF001
    "severe": "✗",
    "warning": "▲",
    "note": "i",
    "ignored": "–",  # noqa: RUF001
}


def render(template: str, **values: object) -> str:
    """The whole page.

    Args:
        template: Its file in ``templates/``.
        values: What the template asks for; one that is missing is an error, never an empty place.
    """
    text = _environment().get_template(template).render(**values)
    return text if text.endswith("\n") else text + "\n"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _read(_SCRIPT)
    environment.globals.update(
        page_style=Markup("\n".join(map(_read, _STYLES))),  # noqa: S704 - our own files
        page_script=Markup(script),  # noqa: S704
        page_policy=_policy(script),
        status_words=STATUS_WORDS,
        marks=MARKS,
    )
    return environment


def _harmless(value: object) -> object:
    """What is printed for a value: markup of our own templates as it is, all else without control characters."""
    return value if isinstance(value, Markup) else harmless(str(value))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _policy(script: str) -> str:
    """Nothing is fetched, and only the script that the page came with may run."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
