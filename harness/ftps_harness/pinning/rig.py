"""The environment for a tool under test: a sealed HOME, servers under real names, and lftp to use the tool's files.

A check performs actions and states its expectations. The log keeps every action, so that a failure can report what was
done, seen and expected, what the tool printed, and what it changed in HOME.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from typing import TYPE_CHECKING, Final, Self, TypeVar

from ftps_harness.client.lftp.settings import read_back
from ftps_harness.errors import HarnessError
from ftps_harness.pinning import snapshot
from ftps_harness.pinning.certificates import HOST, OTHER, SIMILAR, twin
from ftps_harness.pinning.command import OPTIONS
from ftps_harness.pinning.record import Log, Met, Ran
from ftps_harness.play.attempt import Request
from ftps_harness.play.session import Session
from ftps_harness.report.plain import harmless
from ftps_harness.sandbox.home import Home
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.pinning.command import How, PinningTool
    from ftps_harness.pinning.snapshot import Snapshot
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.sandbox import process
    from ftps_harness.verdict.observations import Outcome
    from ftps_harness.words import Folder
    from ftps_lab.certificates import Certificate

Case = TypeVar("Case")

CRON: Final = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "user"}
"""The environment that cron sets (crontab(5)), besides HOME."""

EVERYTHING: Final = ("list", "get", "put")

_OWN_PORT: Final = "21"
"""The port that a tool uses if its command lacks {port} (IANA's registry: ftp)."""


class Hopeless(Exception):  # noqa: N818 - already recorded as a failure
    """The tool fails the precondition of a check; the rest of the check would prove nothing."""


class NotClaimed(Exception):  # noqa: N818 - not an error: the tool makes no claim
    """The tool has no command for this requirement; the message names the option that sets it."""


class Rig:
    """One requirement's place, servers and HOMEs. A context manager.

    Args:
        place: Where everything runs, for its exclusive use.
        client: The lftp to judge with, which the tool gets as ``{lftp}``.
        tool: The tool under test.
        timeout: Time limit of one run of the tool, in seconds.
        quick: Try only one or a few of a check's cases: for planted tools.

    Attributes:
        log: The actions and results.
        homes: Every HOME that was made, in order.
    """

    def __init__(self, place: Sealed, client: Lftp, tool: PinningTool, timeout: float, *, quick: bool = False) -> None:
        self._quick = quick
        self.place = place
        self.tool = tool
        self.timeout = timeout
        self.log = Log()
        self.homes: list[Home] = []
        self._lftp = client
        self._stack = contextlib.ExitStack()
        self._served: tuple[ServerSpec, str] | None = None
        place.names = (HOST, OTHER, *SIMILAR)
        place.address_of(HOST)  # makes the name resolve from the start
        self.session = self._stack.enter_context(Session(place, client))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def cases(self, cases: Iterable[Case], *, quick: int = 1) -> Iterator[Case]:
        """The cases that a check tries: all of them, or only the first ones in a quick run.

        Args:
            cases: All cases.
            quick: The number of cases in a quick run.
        """
        yield from itertools.islice(cases, quick if self._quick else None)

    # --- servers and HOMEs -----------------------------------------------------------------------------------------

    def serve(self, certificate: Certificate, *, host: str = HOST, port: int = 0, **fields: object) -> None:
        """Make the genuine server of a host present a certificate, starting with the next connection.

        Args:
            certificate: The certificate, which is sent with its issuers.
            host: The host name that users type.
            port: 0 for the protocol's own.
            fields: Further fields of `ServerSpec`.
        """
        self._served = (spec_of(certificate, **fields), host)
        self.session.serve(self._served[0], host=host, port=port)

    @property
    def unused_port(self) -> int:
        """A port on which nothing listens."""
        return 4 if self.session.server.port != 4 else 5

    def home(self, files: Mapping[str, bytes] | None = None) -> Home:
        """A new HOME, without ``~/.lftp``.

        Args:
            files: Files in it, by their path below HOME, with mode 0644.
        """
        made = self._stack.enter_context(Home(self.place.parent, self.place.inside))
        made.dot_lftp.rmdir()
        for name, data in (files or {}).items():
            write(made.home / name, data)
        self.homes.append(made)
        return made

    def copy(self, home: Home) -> Home:
        """A copy of a HOME as it is now, at the same path."""
        made = self._stack.enter_context(home.clone())
        made.shown = home.shown
        return made

    def snapshot(self, home: Home) -> Snapshot:
        """A snapshot of a HOME, and of everywhere else that a tool can write."""
        return snapshot.take(home, self.place.visible)

    # --- the tool --------------------------------------------------------------------------------------------------

    def pin(
        self,
        home: Home,
        host: str = HOST,
        port: int = 0,
        *,
        how: How = "pin",
        sha256: str = "",
        cwd: Path | None = None,
        timeout: float | None = None,
        start: process.Starter | None = None,
    ) -> Ran:
        """Run the tool once.

        Args:
            home: Its HOME.
            host: The value of ``{host}``.
            port: The value of ``{port}``; 0 for the running server's port.
            how: Which of its commands to run.
            sha256: The value of ``{sha256}``: upper case, with colons.
            cwd: Its working folder, as seen inside the place; None for HOME.
            timeout: Time limit in seconds; None for the rig's.
            start: The function that starts it; None for the place's.

        Raises:
            NotClaimed: It has no such command.
            HarnessError: It cannot be started.
        """
        values = {
            "host": host,
            "port": str(port or self.session.server.port),
            "home": str(home.seen(home.home)),
            "lftp": str(self._lftp.path),
            "sha256": sha256,
        }
        words = self.tool.words(how, values)
        if not words:
            raise NotClaimed(f"give {OPTIONS[how]} COMMAND to check it")
        self._require_reach(how, host, values["port"])
        starter = start or self.place.starter(home)
        before = self.snapshot(home)
        finished = starter(
            words,
            env={**CRON, "HOME": values["home"]},
            cwd=cwd or home.seen(home.home),
            timeout=timeout or self.timeout,
        )
        home.reopen()
        ran = Ran(words, finished, before, self.snapshot(home))
        self.did_last(ran)
        return ran

    def _require_reach(self, how: How, host: str, port: str) -> None:
        """Check that the tool can reach the server: without ``{port}`` in its command, it always uses its own port.

        Raises:
            Hopeless: It would reach a different server than the check needs; recorded once.
        """
        lacking = ["host"] if host != HOST and self.tool.lacks(how, "host") else []
        lacking += ["port"] if port != _OWN_PORT and self.tool.lacks(how, "port") else []
        if not lacking:
            return
        names = " and ".join(f"{{{each}}}" for each in lacking)
        if not self.log.unreached:
            self.log.unreached = True
            self.expect(
                False,
                f"the tool can connect to {host}, port {port}",
                f"{OPTIONS[how]} lacks {names}; put it where the tool expects it",
            )
        raise Hopeless

    def pinned(self, certificate: Certificate, files: Mapping[str, bytes] | None = None) -> Home:
        """A HOME in which the tool has pinned a certificate that the server presents.

        Raises:
            Hopeless: The tool could not pin it.
        """
        home = self.home(files)
        self.serve(certificate)
        ran = self.pin(home)
        if not self.expect(ran.ok, "exit code 0 for an ordinary server with an ordinary certificate", ran.ended):
            raise Hopeless
        return home

    # --- lftp ------------------------------------------------------------------------------------------------------

    def meet(
        self,
        home: Home,
        spec: ServerSpec,
        *,
        host: str = HOST,
        run: Sequence[str] = EVERYTHING,
        cwd: Folder = "home",
        user: str | None = None,
        called: str = "the genuine server",
    ) -> Outcome:
        """Connect lftp, with a copy of a HOME, to a server under its host name.

        Args:
            home: The HOME with the files that the tool wrote.
            spec: The server's properties.
            host: The host name that the user types.
            run: The tasks for lftp.
            cwd: lftp's working folder.
            user: The user who logs in; ``anonymous`` for an anonymous login.
            called: The server's name in reports.

        Raises:
            HarnessError: lftp cannot be started.
        """
        with self.copy(home) as copy:
            if cwd == "lftp" and not copy.dot_lftp.is_dir():
                copy.dot_lftp.mkdir()
            served, port = self._served, self.session.server.port
            self.session.serve(spec, host=host, port=port)
            request = Request(rc=None, host=host, run=tuple(run), cwd=cwd, user=user, timeout=self.timeout)
            made = self.session.attempt(request, home=copy)
            outcome = made.outcome
            if served is not None:  # the tool's next run must reach the same server as its last one
                self.session.serve(served[0], host=served[1], port=port)
        said = [line for line in made.said.splitlines() if line.strip() and "Certificate verification" not in line]
        self.did(f"lftp connected to {called}: {_result(outcome)}{f'; lftp said: {said[0]}' if said else ''}")
        self.log.meet(Met(self.log.done[-1], made.recording, _genuine(spec, host, served)))
        return outcome

    def accepts(
        self,
        home: Home,
        certificate: Certificate,
        *,
        called: str = "the genuine server",
        host: str = HOST,
        cwd: Folder = "home",
        run: Sequence[str] = EVERYTHING,
        **fields: object,
    ) -> bool:
        """Expect that lftp lists, downloads and uploads; return whether it does."""
        outcome = self.meet(home, spec_of(certificate, **fields), host=host, cwd=cwd, run=run, called=called)
        return self.expect(outcome.verdict == "accepted", f"lftp {_tasks(run)} on {called}", _result(outcome))

    def refuses(
        self,
        home: Home,
        certificate: Certificate,
        *,
        called: str,
        host: str = HOST,
        run: Sequence[str] = ("list",),
        **fields: object,
    ) -> bool:
        """Expect that lftp refuses an impostor before anything leaks; return whether it does."""
        spec = spec_of(certificate, **{"role": "impostor", **fields})
        outcome = self.meet(home, spec, host=host, run=run, called=called)
        return self.expect(
            outcome.verdict == "rejected" and not outcome.exposed, f"lftp refuses {called}", _result(outcome)
        )

    def protects(
        self,
        home: Home,
        certificate: Certificate,
        *,
        called: str = "the genuine server",
        host: str = HOST,
        cwd: Folder = "home",
        **fields: object,
    ) -> bool:
        """Expect that lftp lists with the genuine server and refuses an impostor of it; return whether it does both.

        A tool that cannot pin in some situation, and switches verification off instead, makes lftp accept every server.
        """
        accepted = self.accepts(home, certificate, called=called, host=host, cwd=cwd, run=("list",), **fields)
        impostor = f"an impostor instead of {called}"
        return self.refuses(home, twin(certificate), called=impostor, host=host, run=("list",), **fields) and accepted

    def settings(self, home: Home, *names: str) -> dict[str, dict[str, str]]:
        """lftp's settings in effect, by name and closure."""
        with self.copy(home) as copy:
            return read_back(self.place.client(self._lftp, copy), copy, names)

    def outside(self, home: Home, path: Path) -> Path | None:
        """The real location of a file that the tool and lftp see at a path; None if it is in none of their folders."""
        inside = home.seen(home.root)
        return home.root / path.relative_to(inside) if path.is_relative_to(inside) else None

    # --- the record ------------------------------------------------------------------------------------------------

    def did(self, what: str) -> None:
        """Record an action."""
        self.log.done.append(harmless(what))

    def did_last(self, ran: Ran) -> None:
        """Record a run of the tool as the last one: a failure shows its output and diff."""
        self.log.last = ran
        self.did(f"ran {' '.join(ran.words)}: {ran.ended}")

    def expect(self, holds: bool, expected: str, seen: str) -> bool:
        """Record an expectation, and what was seen if it does not hold; return whether it holds."""
        self.log.expectations += 1
        if not holds:
            self.log.fail(expected, seen)
        return holds

    def keep(self, folder: Path) -> None:
        """Copy every HOME that was made into a folder."""
        for number, home in enumerate(self.homes, 1):
            with contextlib.suppress(OSError):
                shutil.copytree(home.home, folder / f"home-{number}", symlinks=True, dirs_exist_ok=True)


def spec_of(certificate: Certificate, **fields: object) -> ServerSpec:
    """A server that presents a certificate with its issuers."""
    values: dict[str, object] = {"certificate": certificate, "chain": certificate.chain, **fields}
    return ServerSpec(**values)  # type: ignore[arg-type]  # fields of the record by name


def _genuine(spec: ServerSpec, host: str, served: tuple[ServerSpec, str] | None) -> Certificate | None:
    """The certificate of a host's genuine server: that of an impostor's host is the last one that `serve` was given."""
    if spec.answers_as == "genuine":
        return spec.certificate
    return served[0].certificate if served is not None and served[1] == host else None


def write(path: Path, data: bytes) -> None:
    """Write a file into a HOME, with folders that only the owner may open.

    Raises:
        HarnessError: It cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    except OSError as error:
        raise HarnessError(
            f"cannot write {path}: {error.strerror}; free disk space, or set TMPDIR to another folder"
        ) from error


def _tasks(run: Sequence[str]) -> str:
    words = [{"list": "lists files", "get": "downloads", "put": "uploads"}[each] for each in run]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _result(outcome: Outcome) -> str:
    from ftps_harness.report.plain import verdict_words

    words = verdict_words(outcome.verdict, outcome.reasons, outcome.exposed, outcome.to)
    said = "" if outcome.reasons or outcome.exposed else outcome.message.partition("\n")[0]
    why = "; ".join(outcome.contradictions) or said
    return f"{words} ({why})" if why else words
