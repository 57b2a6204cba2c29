"""From a path to parsed TOML: a file that is unreadable, not text or not TOML gives a sentence, not a traceback."""

from __future__ import annotations

import datetime as dt
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any

from ftps_harness.scenario.problems import Problem, ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".scenario.toml"
LIMIT = 1_000_000
"""Size limit of a file in bytes: a hundred times what a long scenario needs."""

_PLACE = re.compile(r"^(?P<what>.*) \(at (?P<where>line \d+, column \d+|end of document)\)$", re.DOTALL)


def text_of(path: Path) -> str:
    """The text of a scenario file.

    Raises:
        ScenarioError: Its name does not end in ``.scenario.toml``, or it cannot be read, is too large, or is not UTF-8.
    """
    try:
        data = _bytes_of(path)
    except OSError as error:
        raise _unusable(str(path), f"cannot be read: {error.strerror or error}") from None
    if len(data) > LIMIT:
        raise _unusable(str(path), f"is larger than {LIMIT // 1_000_000} MB, which no scenario needs")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unusable(str(path), f"is not UTF-8 (line {line}); save it as UTF-8") from None


def toml_file(path: Path) -> dict[str, Any]:
    """Read a TOML file of settings, such as `ftps-lab.toml`; it may be a pipe.

    Raises:
        ScenarioError: It cannot be read, or is not TOML in UTF-8.
    """
    try:
        return toml_of(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise _unusable(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unusable(str(path), "is not UTF-8; save it as UTF-8") from None


def toml_of(text: str, file: str) -> dict[str, Any]:
    """Parse the text as TOML.

    Raises:
        ScenarioError: It is not TOML; the sentence gives line and column.
    """
    if text.startswith("\ufeff"):
        raise _unusable(file, "begins with a byte-order mark; save it as UTF-8 without one")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = " (text is written in quotes)" if str(error).startswith("Invalid value") else ""
        raise _unusable(file, f"is not TOML: {_with_place_first(str(error))}{hint}") from None
    except (ValueError, RecursionError):
        # A number of thousands of digits, or thousands of nested brackets: tomllib does not hide Python's own limits.
        raise _unusable(
            file, "is not usable as TOML: a number in it is too long, or its brackets are nested too deeply"
        ) from None


def times_as_text(data: dict[str, Any]) -> dict[str, Any]:
    """The data with TOML's native times in [certificates.*] as text.

    ``not_after = 2027-01-31T12:00:00Z`` then means the same with and without quotes. Values that are not a moment (a
    date alone, a time without offset) are refused by the lab's rules, as they are in quotes.
    """
    certificates = data.get("certificates")
    if not isinstance(certificates, dict):
        return data
    tables = {name: _text_of_times(table) if isinstance(table, dict) else table for name, table in certificates.items()}
    return {**data, "certificates": tables}


def _text_of_times(table: dict[str, Any]) -> dict[str, Any]:
    times = (dt.date, dt.time)  # a datetime is a date
    return {
        name: value.isoformat() if name in {"not_before", "not_after"} and isinstance(value, times) else value
        for name, value in table.items()
    }


def _bytes_of(path: Path) -> bytes:
    if not path.name.endswith(SUFFIX):
        raise _unusable(str(path), f"is not a scenario file: its name must end in {SUFFIX}")
    if not stat.S_ISREG(mode := path.stat().st_mode):  # reading a FIFO would block for ever
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise _unusable(str(path), f"is {what}; name a file that ends in {SUFFIX}")
    with path.open("rb") as stream:
        return stream.read(LIMIT + 1)


def _with_place_first(message: str) -> str:
    match = _PLACE.match(message)
    if match is None:
        return message
    where = match["where"].replace("end of document", "at the end of the file")
    return f"{where}: {match['what'][:1].lower()}{match['what'][1:]}"


def _unusable(file: str, sentence: str) -> ScenarioError:
    return ScenarioError(file, [Problem("", sentence)])
