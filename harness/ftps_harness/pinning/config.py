"""`pin-check.toml`: a tool's declarations, beside its code: its other commands, and the requirements not claimed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import UsageError
from ftps_harness.pinning.contract import REQUIREMENTS
from ftps_harness.scenario.problems import did_you_mean
from ftps_harness.scenario.reading import toml_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME: Final = "pin-check.toml"

_KEYS: Final = ("repin", "with-fingerprint", "not-claimed")


@dataclass(frozen=True, slots=True)
class Config:
    """The content of the file.

    Attributes:
        repin: As ``--repin``; None if not set.
        with_fingerprint: As ``--with-fingerprint``.
        not_claimed: Requirement → the reason.
    """

    repin: str | None = None
    with_fingerprint: str | None = None
    not_claimed: Mapping[str, str] = field(default_factory=dict)


def find(folder: Path) -> Path | None:
    """Find the file in this folder or the nearest parent that has it."""
    return next((each / NAME for each in (folder, *folder.parents) if (each / NAME).is_file()), None)


def load(path: Path) -> Config:
    """Read the file.

    Raises:
        UsageError: It cannot be read, or something in it is unknown or missing; the message names file and key.
    """
    data = toml_file(path)
    if unknown := sorted(set(data) - set(_KEYS)):
        raise UsageError(f"{path}: unknown key {unknown[0]!r}.{did_you_mean(unknown[0], _KEYS)}")
    return Config(_command(path, data, "repin"), _command(path, data, "with-fingerprint"), _reasons(path, data))


def _command(path: Path, data: Mapping[str, object], key: str) -> str | None:
    value = data.get(key)
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise UsageError(f'{path}: {key} must be a command in quotes, such as "./pin.sh {{host}} {{port}}"')


def _reasons(path: Path, data: Mapping[str, object]) -> dict[str, str]:
    table = data.get("not-claimed", {})
    if not isinstance(table, dict):
        raise UsageError(f'{path}: [not-claimed] must be a table with lines such as ipv6 = "why not"')
    known = [each.id for each in REQUIREMENTS]
    for name, reason in table.items():
        if name not in known:
            raise UsageError(f"{path}: [not-claimed]: unknown requirement {name!r}.{did_you_mean(name, known)}")
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f"{path}: [not-claimed] {name}: the reason must not be empty")
    return {name: reason.strip() for name, reason in table.items()}
