"""Checks a test's arguments to the fixtures by the rules of the scenario file, before anything runs.

A mistake raises an `ArgumentError` with a clear message at the test's own line: pytest hides the frames of this package
(`__tracebackhide__`).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, get_args

import trustme

from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.scenario import files as scenario_files
from ftps_harness.scenario import patterns, runs, substitution
from ftps_harness.scenario.problems import Problem, did_you_mean, shown
from ftps_harness.words import Folder
from ftps_lab.certificates import Certificate
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Rc = str | bytes | Path | EllipsisType | None
"""Text with placeholders; bytes or a file, used verbatim; None for no rc; `...` for the previous run's rc."""

Content = Certificate | trustme.LeafCert | Path | str | bytes
"""A file's content: text with placeholders, anything else verbatim."""

_CONTENTS = "a certificate, a pathlib.Path, text or bytes"

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ArgumentError(UsageError, TypeError):
    """A test passed an invalid argument to a fixture; the message says what is valid."""


def hidden(excinfo: Any) -> bool:
    """For `__tracebackhide__`: whether pytest hides our frames; for our own bugs they stay visible."""
    return bool(excinfo.errisinstance((UsageError, HarnessError, LabError)))


def at_the_tests_line(name: str) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Re-raise our errors, so that a test's traceback ends where the test called the fixture.

    Args:
        name: The name that a test uses for it.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*arguments: _Arguments.args, **keywords: _Arguments.kwargs) -> _Result:
            __tracebackhide__ = hidden
            try:
                signature.bind(*arguments, **keywords)
            except TypeError as error:
                raise ArgumentError(f"{name}(…): {error}") from None
            try:
                return function(*arguments, **keywords)
            except (UsageError, HarnessError, LabError) as error:
                raise error.with_traceback(None) from None

        return call

    return decorate


def check_lftp(
    *, run: object, host: object, user: object, password: object, cwd: object, files: object, timeout: object
) -> None:
    """Check the keywords of `lftp(…)` by the rules of ``[[step]]``.

    Raises:
        ArgumentError: Lists everything that is wrong.
    """
    _refuse(
        "lftp",
        *_run_faults(run),
        *_text_fault("host", host, needed=True),
        *_text_fault("user", user),
        *_text_fault("password", password),
        *_folder_fault(cwd),
        *_time_fault(timeout),
        *_file_faults(files, cwd),
    )


def check_program(*, host: object, cwd: object, timeout: object) -> None:
    """Check the keywords of `lftp.program(…)` in the same way.

    Raises:
        ArgumentError: Lists everything that is wrong.
    """
    _refuse("lftp.program", *_text_fault("host", host, needed=True), *_folder_fault(cwd), *_time_fault(timeout))


def rc_template(rc: object) -> str | bytes | None:
    """An rc as given: text with placeholders, or bytes that stay unchanged.

    Raises:
        ArgumentError: It is not an rc, or is a file that cannot be read.
    """
    if isinstance(rc, Path):
        return _read("lftp(rc=…)", rc)
    if isinstance(rc, str) and _looks_like_a_path(rc):
        raise ArgumentError(
            f"lftp(rc=…): {shown(rc)} is a path, not an rc; give Path({rc!r}) for the content of that file"
        )
    if rc is None or isinstance(rc, str | bytes):
        return rc
    raise ArgumentError(
        f"lftp(rc=…): give text, bytes, a pathlib.Path, or None for no rc at all, not {shown_value(rc)}"
    )


def content(name: str, given: Content, put_in: Callable[[str, str], str]) -> bytes:
    """The bytes of a file.

    Args:
        name: The file's name.
        given: The content as the test gives it.
        put_in: Replaces placeholders with values; its first argument says where the text comes from.

    Raises:
        ArgumentError: It cannot be the content of a file.
    """
    where = f"lftp(files={{{name!r}: …}})"
    if isinstance(given, Certificate):
        return given.pem
    if isinstance(given, trustme.LeafCert):
        return given.cert_chain_pems[0].bytes()
    if isinstance(given, Path):
        return _read(where, given)
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str):
        raise ArgumentError(f"{where}: give {_CONTENTS}, not {shown_value(given)}")
    if _looks_like_a_path(given):
        raise ArgumentError(
            f"{where}: {shown(given)} is a path, but text is the file's content; give Path({given!r}) for the "
            f"content of "
            "that file, or bytes for just this text"
        )
    return put_in(where, given).encode("utf-8", "surrogateescape")


def substituted(where: str, text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders replaced by values, as in a scenario file.

    Raises:
        ArgumentError: It names a certificate for its fingerprint; certificates have no names here.
    """
    for name in substitution.placeholders(text):
        if name not in values:
            raise ArgumentError(f"{where}: {{{name}}} is not a placeholder here; use one of {_braced(values)}")
    return substitution.substitute(text, values)


def known(what: str, keywords: Mapping[str, Any], names: Sequence[str]) -> None:
    """Check that all keywords exist.

    Raises:
        ArgumentError: A keyword is unknown.
    """
    for key in keywords:
        if key not in names:
            near = did_you_mean(key, names)
            raise ArgumentError(f"{what}({key}=…): unknown keyword.{near} Use one of {', '.join(names)}")


def _refuse(what: str, *problems: Problem) -> None:
    if problems:
        raise ArgumentError("; ".join(f"{what}({problem.key}=…): {problem.sentence}" for problem in problems))


def _braced(values: Mapping[str, str]) -> str:
    return ", ".join(f"{{{name}}}" for name in values)


def _run_faults(run: object) -> Iterator[Problem]:
    if isinstance(run, str):
        yield Problem("run", f"write a list, such as [{run!r}]")
    elif not isinstance(run, list | tuple) or not all(isinstance(item, str) for item in run):
        yield Problem("run", f"write a list of strings, not {shown_value(run)}")
    else:
        yield from runs.check(tuple(run), "run")


def _text_fault(key: str, value: object, *, needed: bool = False) -> Iterator[Problem]:
    if value is None and not needed:
        return
    if not isinstance(value, str):
        yield Problem(key, f"must be text, not {shown_value(value)}")
    elif key == "host" and not patterns.is_host(value):
        yield Problem(key, f"{shown(value)} is neither a host name nor an IP address")
    elif not value:
        yield Problem(key, "must not be empty; omit it to use a generated secret")
    elif any(letter in value for letter in "\r\n\0"):
        yield Problem(key, "contains a line end or NUL, which no FTP command can carry")


def _folder_fault(cwd: object) -> Iterator[Problem]:
    folders = get_args(Folder)
    if cwd not in folders:
        yield Problem("cwd", f"lftp cannot be started in {shown_value(cwd)}; use one of {', '.join(folders)}")


def _time_fault(timeout: object) -> Iterator[Problem]:
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (number and 0 < float(str(timeout)) < math.inf):
        yield Problem("timeout", f"must be a number of seconds greater than 0, not {shown_value(timeout)}")


def _file_faults(files: object, cwd: object) -> Iterator[Problem]:
    if files is None:
        return
    if not isinstance(files, Mapping) or not all(isinstance(name, str) for name in files):
        yield Problem(
            "files",
            f'must be a dictionary from names to contents, such as {{"pin.crt": server.pin}}, not {shown_value(files)}',
        )
        return
    for name in files:
        if cwd in get_args(Folder):
            faults = scenario_files.name_faults(name, list(files), cast("Folder", cwd))
            yield from (Problem("files", sentence) for sentence in faults)


def _looks_like_a_path(text: str) -> bool:
    """Whether a text is a file's name, not its content; an rc or a PEM file has more than one line, or blanks."""
    if not text.strip() or "\n" in text:
        return False
    if text.startswith(("/", "~/", "./", "../")):
        return True
    with contextlib.suppress(OSError, ValueError):  # too long for a name, or with a NUL
        return Path(text).exists()
    return False


def _read(where: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArgumentError(f"{where}: cannot read {path}: {error.strerror}") from None


def shown_value(value: object) -> str:
    """A value as Python source, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} …"
