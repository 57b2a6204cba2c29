"""The fixture `lftp`: the real lftp, in a sealed HOME that lives as long as the fixture, without control runs."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING

from ftps_harness.play.attempt import Request
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.scenario.files import destination
from ftps_harness.testing import arguments, program
from ftps_harness.testing.arguments import ArgumentError, at_the_tests_line
from ftps_harness.testing.outcome import TestOutcome
from ftps_harness.testing.servers import ServerHandle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.sandbox.home import Home
    from ftps_harness.testing.arguments import Content, Rc
    from ftps_harness.testing.sealed import SealedFixtures
    from ftps_harness.words import Folder

__tracebackhide__ = arguments.hidden

_SECONDS = 30.0


class LftpRunner:
    """The fixture `lftp`: call it to run lftp against a server. HOME persists between calls.

    Args:
        client: The lftp to run.
        home: The sealed HOME; in a sealed place, one of that place.
        timeout: The default time limit for a run, in seconds.
        sealed: The sealed place to run it in; None for loopback.

    Attributes:
        client: The lftp to run.
        home: The sealed HOME.
    """

    def __init__(
        self, client: Lftp, home: Home, timeout: float = _SECONDS, sealed: SealedFixtures | None = None
    ) -> None:
        self.client = client
        self.home = home
        self._timeout = timeout
        self._sealed = sealed
        self._rc: str | bytes | EllipsisType | None = None

    @at_the_tests_line("lftp")
    def __call__(  # noqa: PLR0913  # all but the first are keyword-only
        self,
        server: ServerHandle,
        *,
        rc: Rc = ...,
        run: Sequence[str] = ("list", "get"),
        host: str = "localhost",
        user: str | None = None,
        password: str | None = None,
        cwd: Folder = "home",
        files: Mapping[str, Content] | None = None,
        timeout: float | None = None,
    ) -> TestOutcome:
        """Run lftp against a server, and judge by client, server and wire what happened.

        Texts (`rc`, `run`, `files`) may use the placeholders of scenario files.

        Args:
            server: A server made by `ftps_server`.
            rc: ``~/.lftp/rc``: text, or bytes or a file, used verbatim. If omitted, the previous run's rc stays;
                None removes it.
            run: ``list``, ``get``, ``put``, ``mirror``, or literal lftp commands.
            host: The host name that the user types; any name leads to the lab, and in a sealed place any address.
            user: None for the server's; ``anonymous`` for lftp's own anonymous login.
            password: None for the server's, which is valid for any user.
            cwd: lftp's working folder.
            files: Files to put into ``~/.lftp`` (with a name ``cwd/NAME``: into lftp's working folder): certificates,
                paths, bytes, or text.
            timeout: Time limit for lftp, in seconds.

        Raises:
            LabError: The server failed.
            HarnessError: lftp cannot be run.
            ArgumentError: An argument is invalid.
        """
        self._check_server(server)
        arguments.check_lftp(run=run, host=host, user=user, password=password, cwd=cwd, files=files, timeout=timeout)
        with self._turn():
            server.move_to(host)
            values = self._values(server, host, user, password)
            self._put_files(files or {}, cwd, values)
            request = Request(
                rc=self._rc_for(rc, values),
                host=host,
                run=tuple(arguments.substituted(f"lftp(run=…): {item}", item, values) for item in run),
                user=user,
                password=password,
                cwd=cwd,
                timeout=self._timeout if timeout is None else timeout,
            )
            done = server.session.attempt(request, home=self.home, client=self.client)
        return TestOutcome.of(self._with_rc(done))

    @at_the_tests_line("lftp.program")
    def program(
        self,
        argv: Sequence[str | Path],
        *,
        server: ServerHandle | None = None,
        host: str = "localhost",
        cwd: Folder = "home",
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> program.ProgramResult:
        """Run another program in the sealed HOME, as lftp is run; lftp then finds HOME as the program left it.

        It gets lftp's environment and inherits nothing else. It has no terminal, its time and output are limited, and
        no process that it starts survives it.

        Args:
            argv: The command, without a shell. Texts may use ``{lftp}`` and ``{host}``, and with a server ``{port}``,
                ``{user}`` and ``{password}``.
            server: The server that provides these values.
            host: The value of ``{host}``. On loopback names lead to the lab for lftp only, and a program connects to
                ``localhost``.
            cwd: Its working folder.
            env: Additional environment variables.
            timeout: Time limit in seconds.

        Raises:
            HarnessError: It cannot be started.
            ArgumentError: An argument is invalid.
        """
        if server is not None:
            self._check_server(server)
        arguments.check_program(host=host, cwd=cwd, timeout=timeout)
        self._rc = ...  # an rc from an earlier call must not overwrite the program's
        limit = self._timeout if timeout is None else timeout
        with self._turn():
            if server is not None:
                server.move_to(host)
            done = program.run(
                self.home,
                argv,
                values=self._values(server, host),
                cwd=cwd,
                env=env,
                timeout=limit,
                place=self._sealed.place if self._sealed else Loopback(),
                server=server.server.host if server else "",
            )
            if server is not None:
                server.server.settle()  # nothing of this run is left for the next
            return done

    def _put_files(self, files: Mapping[str, Content], cwd: Folder, values: Mapping[str, str]) -> None:
        """Write all files, or none if one of them is invalid."""
        contents = {
            name: arguments.content(name, given, lambda where, text: arguments.substituted(where, text, values))
            for name, given in files.items()
        }
        for name, data in contents.items():
            folder, plain_name = destination(name, cwd)
            self.home.put_file(plain_name, data, folder=folder)

    def _rc_for(self, rc: Rc, values: Mapping[str, str]) -> str | None:
        """The rc to write for this run, or None for no rc; placeholders of a kept rc are replaced again.

        After a program has run, HOME stays as the program left it until a test gives another rc.
        """
        if not isinstance(rc, EllipsisType):
            self._rc = arguments.rc_template(rc)
        if isinstance(self._rc, EllipsisType):
            return None
        if self._rc is None:
            (self.home.dot_lftp / "rc").unlink(missing_ok=True)
            return None
        if isinstance(self._rc, bytes):
            return self._rc.decode("utf-8", "surrogateescape")
        return arguments.substituted("lftp(rc=…)", self._rc, values)

    def _with_rc(self, done: Attempt) -> Attempt:
        """Add the rc that lftp found to the evidence, whether a test or a program wrote it."""
        if not isinstance(self._rc, EllipsisType):
            return done
        with contextlib.suppress(OSError):
            return replace(done, rc=(self.home.dot_lftp / "rc").read_text("utf-8", "surrogateescape"))
        return done

    def _values(
        self, server: ServerHandle | None, host: str, user: str | None = None, password: str | None = None
    ) -> dict[str, str]:
        """The values of placeholders."""
        values = {"lftp": str(self.home.seen(self.home.dot_lftp)), "host": host}
        if server is not None:
            values |= {"port": str(server.port), "user": user or server.user, "password": password or server.password}
        return values

    def _turn(self) -> AbstractContextManager[object]:
        return self._sealed.turn if self._sealed else contextlib.nullcontext()

    def _check_server(self, server: ServerHandle) -> None:
        _check_server(server)
        if server.sealed is not self._sealed:
            names = ["loopback" if each is None else "sealed" for each in (server.sealed, self._sealed)]
            raise ArgumentError(
                f"lftp({server!r}): the server is in the place {names[0]}, and this lftp in {names[1]}; give both "
                f'fixtures the same place, by the marker ftps_place("{names[0]}") or the ini option ftps_place'
            )


def _check_server(server: object) -> None:
    if not isinstance(server, ServerHandle):
        shown = arguments.shown_value(server)
        raise ArgumentError(
            f"lftp({shown}): give a server, such as one = ftps_server(); give the host name that the user types as "
            f"lftp(one, host=…)"
        )
    if server.stopped:
        raise ArgumentError(
            f"lftp({server!r}): the server is stopped, because servers end with the fixture that started them; start "
            f"it in a fixture of wider scope, or start a new one"
        )
