"""`rc_file`: an existing rc, read unchanged, in place of `rc`."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ftps_harness.scenario import reading, substitution
from ftps_harness.scenario.problems import Problem, shown

if TYPE_CHECKING:
    from ftps_harness.scenario.tables import ScenarioTable, StepTable


def filled_in(table: ScenarioTable, folder: Path | None) -> tuple[ScenarioTable, list[Problem]]:
    """The table with the content of each `rc_file` as the step's `rc`, and the problems of these files.

    Braces in them are not placeholders: the file itself is tested, not a text made from it.

    Args:
        table: As written.
        folder: The base for paths; None if the scenario does not come from a file.
    """
    problems: list[Problem] = []
    steps = [_with_rc(step, f"step[{number}]", folder, problems) for number, step in enumerate(table.step, 1)]
    return msgspec.structs.replace(table, step=tuple(steps)), problems


def _with_rc(step: StepTable, key: str, folder: Path | None, problems: list[Problem]) -> StepTable:
    if step.rc_file is None:
        return step
    if step.rc is not None:
        problems.append(Problem(f"{key}.rc_file", "is not allowed beside rc; remove one of them"))
        return step
    try:
        return msgspec.structs.replace(step, rc=substitution.literally(_text(step.rc_file, folder)))
    except _UnusableError as error:
        problems.append(Problem(f"{key}.rc_file", str(error)))
        return step


class _UnusableError(Exception):
    """Why a file cannot be used as the rc, as the end of a sentence."""


def _text(name: str, folder: Path | None) -> str:
    """The file's bytes as text, without loss; line ends are not changed."""
    try:
        path = Path(name).expanduser()
    except RuntimeError:
        raise _UnusableError(f"{shown(name)}: no such home folder") from None
    if not name.strip() or "\0" in name:
        raise _UnusableError('is not a path: write one relative to this file, such as rc_file = "backup.rc"')
    if folder is None and not path.is_absolute():
        raise _UnusableError("is relative, but this scenario does not come from a file; give an absolute path")
    path = (folder or Path()) / path
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a FIFO would block for ever
            raise _UnusableError(f"{path} is not a regular file; name the rc itself")
        with path.open("rb") as stream:
            data = stream.read(reading.LIMIT + 1)
    except OSError as error:
        raise _UnusableError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > reading.LIMIT:
        raise _UnusableError(f"{path} is larger than {reading.LIMIT // 1_000_000} MB, which no rc needs")
    return data.decode("utf-8", "surrogateescape")
