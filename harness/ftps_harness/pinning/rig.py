"""Where a tool under test is run: a sealed HOME, servers under real names, and lftp that meets what the tool wrote.

A check does things and says what it expects. All that was done is kept, so that a failure can tell what was done, what
was seen, what was expected, what the tool printed, and what it changed in HOME.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, TypeVar

from ftps_harness.client.lftp.settings import read_back
from ftps_harness.errors import HarnessError
from ftps_harness.pinning import snapshot
from ftps_harness.pinning.certificates import HOST, OTHER, SIMILAR, twin
from ftps_harness.pinning.command import OPTIONS
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
"""The environment that cron gives (crontab(5)), beside HOME."""

EVERYTHING: Final = ("list", "get", "put")

_OWN_PORT: Final = "21"
"""Where a tool goes that is told no port (IANA's registry: ftp)."""

_NAMED: Final = 4
"""Changed files that are named."""

_SHOWN: Final = 4000
"""Characters of a tool's output that are kept for a report."""


class Hopeless(Exception):  # noqa: N818 - noted as a failure already
    """The tool does not even do what a check begins with; what follows would prove nothing."""


class NotClaimed(Exception):  # noqa: N818 - no fault: the tool says nothing of it
    """The tool has no command for what a requirement is about; the text says which option names one."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the tool.

    Attributes:
        words: Its command line.
        finished: How it ended, and what it printed.
        before: HOME before.
        after: HOME after.
    """

    words: tuple[str, ...]
    finished: process.Finished
    before: Snapshot
    after: Snapshot

    @property
    def ok(self) -> bool:
        """It ended by itself with exit code 0."""
        return self.finished.exit_code == 0

    @property
    def ended(self) -> str:
        """How it ended, in words."""
        if self.finished.timed_out:
            return f"did not end within {self.finished.seconds:.0f} s and was killed"
        if self.finished.signal is not None:
            return f"was ended by signal {self.finished.signal}"
        return f"exit code {self.finished.exit_code}"

    @property
    def output(self) -> bytes:
        """Both streams, standard output first."""
        return self.finished.stdout + self.finished.stderr

    @property
    def untouched(self) -> bool:
        """Nothing in its reach has changed."""
        return self.before.same(self.after)

    @property
    def changed(self) -> str:
        """The files that it changed, in words."""
        paths = sorted(self.before.changed(self.after))
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        return f"changed: {', '.join(paths[:_NAMED])}{more}" if paths else "nothing is changed"

    @property
    def diff(self) -> list[str]:
        """What it changed."""
        return list(snapshot.diff(self.before, self.after))


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that does not hold.

    Attributes:
        done: What was done since the failure before it, a phrase each, in order.
        expected: What should have been seen.
        seen: What was.
        output: What the tool printed in its last run.
        diff: What it changed in HOME in its last run.
    """

    done: tuple[str, ...]
    expected: str
    seen: str
    output: str = ""
    diff: tuple[str, ...] = ()


@dataclass(slots=True)
class Log:
    """What a check has done and found.

    Attributes:
        expectations: How many there were: a check without any proves nothing.
        told: How much of `done` an earlier failure has told.
        unreached: It is noted that the tool cannot be sent to a server.
    """

    done: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    expectations: int = 0
    told: int = 0
    last: Ran | None = None
    unreached: bool = False


class Rig:
    """One requirement's place, servers and HOMEs. A context manager.

    Args:
        place: Where it all runs; nobody else uses it meanwhile.
        client: The lftp that judges, and that the tool is told of as ``{lftp}``.
        tool: The tool under test.
        timeout: Seconds that one run of the tool may take.
        quick: Try one case, or a few, where a check has several: for the tools that are planted.

    Attributes:
        log: What was done and found.
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
        place.address_of(HOST)  # from now on
        self.session = self._stack.enter_context(Session(place, client))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def cases(self, cases: Iterable[Case], *, quick: int = 1) -> Iterator[Case]:
        """The cases that a check goes through: all of them, or in a quick run the first ones.

        Args:
            cases: All of them.
            quick: How many are tried in a quick run.
        """
        yield from itertools.islice(cases, quick if self._quick else None)

    # --- servers and HOMEs -----------------------------------------------------------------------------------------

    def serve(self, certificate: Certificate, *, host: str = HOST, port: int = 0, **fields: object) -> None:
        """Have the genuine server of a host show a certificate from the next connection on.

        Args:
            certificate: It is sent with what is above it.
            host: What users type.
            port: 0 for the protocol's own.
            fields: Further fields of `ServerSpec`.
        """
        self._served = (spec_of(certificate, **fields), host)
        self.session.serve(self._served[0], host=host, port=port)

    @property
    def unused_port(self) -> int:
        """A port on which nobody listens."""
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
        """What is in a HOME, and wherever else a tool can write."""
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
            host: What ``{host}`` is.
            port: What ``{port}`` is; 0 for that of the server that runs.
            how: Which of its commands.
            sha256: What ``{sha256}`` is: upper case, with colons.
            cwd: Where it is started, as it is seen inside; None for HOME.
            timeout: Seconds that it may take; None for the rig's.
            start: What starts it; None for the place.

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
            raise NotClaimed(f"give {OPTIONS[how]} COMMAND to have it tried")
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
        """The tool goes to its own port, whatever server is meant, if its command names no ``{port}``.

        Raises:
            Hopeless: It would meet another server than the check means; noted once.
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
                f"the tool can be sent to {host}, port {port}",
                f"{OPTIONS[how]} names no {names}; write it where the tool takes it",
            )
        raise Hopeless

    def pinned(self, certificate: Certificate, files: Mapping[str, bytes] | None = None) -> Home:
        """A HOME in which the tool has pinned a certificate that the server shows.

        Raises:
            Hopeless: The tool could not.
        """
        home = self.home(files)
        self.serve(certificate)
        ran = self.pin(home)
        if not self.expect(ran.ok, "exit code 0: an ordinary server, an ordinary certificate", ran.ended):
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
        """Have lftp, with a copy of what is in a HOME, meet a server, under its name.

        Args:
            home: With what the tool wrote.
            spec: What the server is.
            host: What the user types.
            run: What lftp is to do.
            cwd: Where it is started.
            user: Who logs in; ``anonymous`` for an anonymous login.
            called: What the server is called in reports.

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
            if served is not None:  # the tool's next run meets the same server as its last one
                self.session.serve(served[0], host=served[1], port=port)
        said = [line for line in made.said.splitlines() if line.strip() and "Certificate verification" not in line]
        self.did(f"lftp met {called}: {_came_to(outcome)}{f'; it said: {said[0]}' if said else ''}")
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
        """Expect that lftp lists, downloads and uploads; whether it does."""
        outcome = self.meet(home, spec_of(certificate, **fields), host=host, cwd=cwd, run=run, called=called)
        return self.expect(outcome.verdict == "accepted", f"lftp {_tasks(run)} with {called}", _came_to(outcome))

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
        """Expect that lftp refuses an impostor before anything gets out; whether it does."""
        spec = spec_of(certificate, **{"role": "impostor", **fields})
        outcome = self.meet(home, spec, host=host, run=run, called=called)
        return self.expect(
            outcome.verdict == "rejected" and not outcome.exposed, f"lftp refuses {called}", _came_to(outcome)
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
        """Expect that lftp lists with the genuine server, and refuses an impostor there; whether it does both.

        A tool that cannot pin in some circumstance, and switches verification off in it, makes lftp accept everybody.
        """
        accepted = self.accepts(home, certificate, called=called, host=host, cwd=cwd, run=("list",), **fields)
        impostor = f"an impostor in the place of: {called}"
        return self.refuses(home, twin(certificate), called=impostor, host=host, run=("list",), **fields) and accepted

    def settings(self, home: Home, *names: str) -> dict[str, dict[str, str]]:
        """lftp's settings in effect, by name and closure."""
        with self.copy(home) as copy:
            return read_back(self.place.client(self._lftp, copy), copy, names)

    def outside(self, home: Home, path: Path) -> Path | None:
        """Where a file is that the tool and lftp see at a path; None if it is in no folder of theirs."""
        inside = home.seen(home.root)
        return home.root / path.relative_to(inside) if path.is_relative_to(inside) else None

    # --- the record ------------------------------------------------------------------------------------------------

    def did(self, what: str) -> None:
        """Note what was done."""
        self.log.done.append(harmless(what))

    def did_last(self, ran: Ran) -> None:
        """Note a run of the tool as the last one: its output and diff are a failure's."""
        self.log.last = ran
        self.did(f"ran {' '.join(ran.words)}: {ran.ended}")

    def expect(self, holds: bool, expected: str, seen: str) -> bool:
        """Note an expectation, and what was seen where it does not hold; whether it does."""
        self.log.expectations += 1
        if not holds:
            last = self.log.last
            done, self.log.told = self.log.done[self.log.told :], len(self.log.done)
            self.log.failures.append(
                Failure(
                    tuple(done),
                    harmless(expected),
                    harmless(seen),
                    harmless(last.output[:_SHOWN].decode("utf-8", "backslashreplace")) if last else "",
                    tuple(harmless(line) for line in last.diff) if last else (),
                )
            )
        return holds

    def keep(self, folder: Path) -> None:
        """Copy every HOME that was made into a folder."""
        for number, home in enumerate(self.homes, 1):
            with contextlib.suppress(OSError):
                shutil.copytree(home.home, folder / f"home-{number}", symlinks=True, dirs_exist_ok=True)


def spec_of(certificate: Certificate, **fields: object) -> ServerSpec:
    """A server that shows a certificate, and sends what is above it."""
    values: dict[str, object] = {"certificate": certificate, "chain": certificate.chain, **fields}
    return ServerSpec(**values)  # type: ignore[arg-type]  # a record's fields by name


def write(path: Path, data: bytes) -> None:
    """Put a file into a HOME, with folders that only its owner may open.

    Raises:
        HarnessError: It cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror}; make room, or set TMPDIR") from error


def _tasks(run: Sequence[str]) -> str:
    words = [{"list": "lists", "get": "downloads", "put": "uploads"}[each] for each in run]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _came_to(outcome: Outcome) -> str:
    from ftps_harness.report.plain import verdict_words

    words = verdict_words(outcome.verdict, outcome.reasons, outcome.exposed, outcome.to)
    said = "" if outcome.reasons or outcome.exposed else outcome.message.partition("\n")[0]
    why = "; ".join(outcome.contradictions) or said
    return f"{words} ({why})" if why else words
