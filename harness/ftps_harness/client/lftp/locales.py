"""The locale that lftp runs in: UTF-8, or the one that a step names (docs/lftp.md, "The locale")."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from ftps_harness.sandbox import process

_TRY_SECONDS = 10.0
_PREFERRED = ("C.UTF-8", "en_US.UTF-8")
_EVERYWHERE = ("C", "POSIX")


def available(start: process.Starter) -> dict[str, str]:
    """The locales of the machine where `start` runs programs, by a name normalized for spelling."""
    variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    try:
        answer = start(["locale", "-a"], env=variables, cwd=Path("/"), timeout=_TRY_SECONDS)
        names = answer.stdout.decode("utf-8", "replace").split()
    except (HarnessError, UsageError):  # no such program: only the names that every C library knows
        names = []
    return {_plain(name): name for name in (*names, *_EVERYWHERE)}


def default_locale(start: process.Starter) -> str:
    """A UTF-8 locale with English messages; ``C`` if there is none."""
    names = available(start)
    return next((name for name in _PREFERRED if _plain(name) in names), "C")


def why_no_locale(start: process.Starter, locale: str) -> str | None:
    """Why nothing can run in a locale there, as a sentence for a skipped scenario; None if it can."""
    if _plain(locale) in available(start):
        return None
    return f"the locale {locale} is not installed on this machine; `locale -a` lists those that are"


def _plain(name: str) -> str:
    """Normalize the spelling: ``C.UTF-8`` and ``C.utf8`` are the same."""
    language, dot, charset = name.partition(".")
    return f"{language}{dot}{charset.lower().replace('-', '')}"
