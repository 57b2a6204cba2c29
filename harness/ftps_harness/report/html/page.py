"""Renders one self-contained page from a template: it includes styles and script, and foreign text is never markup.

All template output goes through `plain.harmless` and then through jinja2's autoescape: no subject, banner, file name or
line from lftp can become an element, a control character or a right-to-left override. The page's Content Security
Policy (CSP) blocks all fetches, and all scripts but ours.
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
"""Status, or severity of a finding → the word beside its mark: colour is never the only sign."""

ANSWERS: Final = {0: "pass", 1: "fail", 3: "error", 130: "error"}
"""Exit code → the status that colours a page's answer."""

MARKS: Final = {
    "pass": "✓",
    "fail": "✗",
    "error": "!",
    "skip": "–",  # noqa: RUF001 - a dash on purpose
    "not-claimed": "–",  # noqa: RUF001 - a dash on purpose
    "severe": "✗",
    "warning": "▲",
    "note": "i",
    "ignored": "–",  # noqa: RUF001 - a dash on purpose
}


def render(template: str, **values: object) -> str:
    """Return the whole page.

    Args:
        template: Its file in ``templates/``.
        values: The template's variables; a missing one is an error, never an empty string.
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
    script = asset(_SCRIPT)
    environment.globals.update(
        page_style=Markup("\n".join(map(asset, _STYLES))),  # noqa: S704 - our own files
        page_script=Markup(script),  # noqa: S704 - our own file
        page_policy=_policy(script),
        status_words=STATUS_WORDS,
        marks=MARKS,
    )
    return environment


def _harmless(value: object) -> object:
    """A value as printed: markup of our own templates unchanged, everything else without control characters."""
    return value if isinstance(value, Markup) else harmless(str(value))


def asset(name: str) -> str:
    """The text of one of our style sheets or scripts."""
    return (_FOLDER / name).read_text("utf-8")


def _policy(script: str) -> str:
    """The page's CSP: it blocks all fetches, and allows only the page's own script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
