"""The fixture `verify`: `ftps-lab verify` in a test; a failure shows the report."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ftps_harness.testing import arguments
from ftps_harness.testing.arguments import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.verify.base import Done, Options, Report
    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.subject import Subject
    from ftps_harness.verify.trials import Trial

__tracebackhide__ = arguments.hidden

_JOBS = 2
"""The number of parallel trials, the same as the command's."""


@dataclass(frozen=True, slots=True, repr=False)
class SetupReport:
    """The result of verifying one setup.

    Attributes:
        safe: Every trial was judged, without an error or warning that is not ignored.
        findings: All findings, the most severe first; docs/verify.md, "Findings", has their ids.
        text: The output of the command.
    """

    safe: bool
    findings: tuple[Finding, ...]
    text: str

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the findings, without those that are ignored."""
        return frozenset(each.id for each in self.findings if each.suppressed is None)

    def check(self) -> Self:
        """Fail with the output of the command unless the setup is safe.

        Raises:
            AssertionError: The setup is not safe.
        """
        __tracebackhide__ = True
        if not self.safe:
            raise AssertionError(self.text)
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.text.partition('.')[0]}>"


class Places:
    """The places of a whole test session: one set for each program that must be visible there. `close` ends them."""

    def __init__(self, lftp: Path) -> None:
        self._lftp = lftp
        self._sets: dict[tuple[Path, ...], SealedPlaces] = {}
        self._stack = contextlib.ExitStack()

    def of(self, *programs: Path) -> SealedPlaces:
        """The places in which lftp and these programs are visible.

        Raises:
            Unavailable: The kernel does not permit sealed places.
            HarnessError: No place can be made.
        """
        from ftps_harness.play.places.sealed import SealedPlaces
        from ftps_harness.sandbox.signals import deferring

        if programs not in self._sets:
            enter = self._stack.enter_context
            self._sets[programs] = deferring(lambda: enter(SealedPlaces([self._lftp, *programs])))  # `close` ends it
        return self._sets[programs]

    def close(self) -> None:
        """End all places."""
        self._sets.clear()
        self._stack.close()


class SetupVerifier:
    """Attacks an lftp setup in the sealed place, as `ftps-lab verify` does.

    Args:
        client: The lftp to use.
        places: Where to run.

    Attributes:
        unsafe: The printed report of each call that found a setup unsafe.
    """

    def __init__(self, client: Lftp, places: Places) -> None:
        self._client = client
        self._places = places
        self.unsafe: list[str] = []

    def __repr__(self) -> str:
        return "verify"

    @arguments.at_the_tests_line("verify")
    def __call__(  # noqa: PLR0913 - the options of the command
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        command: Sequence[str] = (),
        host: str | None = None,
        port: int = 0,
        protocol: Literal["explicit", "implicit"] = "explicit",
        user: str | None = None,
        system_rc: str | os.PathLike[str] | None = None,
        warn_days: int = 30,
        only: Collection[str] = (),
        timeout: float = 30.0,
    ) -> SetupReport:
        """Verify a setup.

        Args:
            path: An rc file, a folder that holds one, or an lftp script; ~/.lftp if omitted.
            command: A command line instead of a path, run in the current folder.
            host: The server's name; None for the one that the setup or its pin names.
            port: 0 for the protocol's own.
            protocol: ``explicit`` or ``implicit``.
            user: ``anonymous``, a name, or None for a made-up one.
            system_rc: A file that lftp reads first; None for no file.
            warn_days: A pinned certificate counts as expiring this many days before it expires.
            only: Trials to run besides the genuine server's; empty for all.
            timeout: Time limit in seconds for one run of lftp or of the command.

        Raises:
            ArgumentError: An argument is invalid.
            UsageError: The setup does not exist, or the command does not connect to any server.
            HarnessError: The lab could not do its work.
        """
        from ftps_harness.verify import config
        from ftps_harness.verify.base import Options

        _check(path, command, only)
        ignored = config.find(Path.cwd())
        options = Options(
            host=host,
            protocol=protocol,
            port=port,
            user=user,
            system_rc=None if system_rc is None else _read(Path(system_rc)),
            warn_days=warn_days,
            timeout=timeout,
            only=frozenset(only),
            ignores=config.load(ignored) if ignored is not None else (),
        )
        report = self._verify(_subject(path, command), options)
        made = SetupReport(report.safe, report.findings, _text(report))
        if not made.safe:
            self.unsafe.append(made.text)
        return made

    def _verify(self, subject: Subject, options: Options) -> Report:
        from ftps_harness.play.pool import affordable, play_all
        from ftps_harness.sandbox.signals import deferring
        from ftps_harness.verify.verify import begin

        places = self._places.of(*(Path(word) for word in subject.argv[:1]))
        with deferring(lambda: begin(subject, self._client, places, options), _leave) as verification:
            played = play_all(verification.trials, verification.play, _Unwatched(), jobs=affordable(_JOBS))
            if played.interrupted:
                raise KeyboardInterrupt
            return verification.report(played.results)


def _leave(verification: AbstractContextManager[object]) -> None:
    with verification:
        pass


class _Unwatched:
    """Ignores progress."""

    def started(self, trial: Trial) -> None:
        """Ignore the start."""

    def finished(self, done: Done) -> None:
        """Ignore the end."""


def _check(path: object, command: object, only: Collection[str]) -> None:
    from ftps_harness.scenario.problems import did_you_mean
    from ftps_harness.verify.trials import TRIALS

    if isinstance(command, str) or isinstance(only, str):
        raise ArgumentError("verify(…): command and only are lists of words, such as ['./backup.sh']")
    if path is not None and command:
        raise ArgumentError("verify(…): give a path or a command, not both")
    names = [trial.name for trial in TRIALS]
    for name in only:
        if name not in names:
            raise ArgumentError(f"verify(…): only: unknown trial {name!r}.{did_you_mean(name, names)}")


def _subject(path: str | os.PathLike[str] | None, command: Sequence[str]) -> Subject:
    from ftps_harness.verify import program
    from ftps_harness.verify.subject import load

    home = Path(os.environ.get("HOME") or "~").expanduser().absolute()
    if command:
        return program.load(command, Path.cwd(), home)
    return load("~/.lftp" if path is None else os.fspath(path), home)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArgumentError(f"verify(…): system_rc: {path}: {error.strerror}") from None


def _text(report: Report) -> str:
    from ftps_harness.verify.reports.terminal import Terminal

    stream = io.StringIO()
    Terminal(stream).report(report)
    return stream.getvalue().rstrip("\n")
