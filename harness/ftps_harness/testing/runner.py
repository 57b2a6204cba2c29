"""The fixture `lftp`: the real one, in a sealed HOME that lives as long as the fixture, without controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ftps_harness.attempt import Attempt, Request, Scene, attempt
from ftps_harness.scenario.files import destination
from ftps_harness.testing import arguments
from ftps_harness.testing.arguments import ArgumentError, at_the_tests_line
from ftps_harness.testing.outcome import TestOutcome
from ftps_harness.testing.servers import ServerHandle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftps_harness.home import Home
    from ftps_harness.lftp import Lftp
    from ftps_harness.scenario.tables import Folder, Reason, Receiver, Secret
    from ftps_harness.testing.arguments import Content, Rc

__tracebackhide__ = arguments.hidden

_SECONDS = 30.0


class LftpRunner:
    """The fixture `lftp`: call it to run lftp against a server. HOME stays from call to call.

    Attributes:
        client: Which lftp.
        home: The sealed HOME.
    """

    def __init__(self, client: Lftp, home: Home, timeout: float = _SECONDS) -> None:
        self.client = client
        self.home = home
        self._timeout = timeout
        self._rc: str | bytes | None = None

    @at_the_tests_line("lftp")
    def __call__(  # noqa: PLR0913  # all but the first are named
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
        """Run lftp against a server and ask client, server and wire what happened.

        In texts (`rc`, `run`, `files`) the placeholders of scenario files stand for their values.

        Args:
            server: One made by `ftps_server`.
            rc: ``~/.lftp/rc``: text, or bytes or a file as they stand. Left out, it is the one of the run before;
                None takes it away.
            run: ``list``, ``get``, ``put``, ``mirror``, or literal lftp commands.
            host: What the user types; any name leads to the lab.
            user: None for the server's; ``anonymous`` for lftp's own anonymous login.
            password: None for the server's, which lets any user in.
            cwd: Where lftp is started.
            files: Put into ``~/.lftp`` (a name ``cwd/NAME``: into the folder that lftp is started in): certificates,
                paths, bytes, or text.
            timeout: Seconds that lftp may take.

        Raises:
            LabError: The server failed.
            HarnessError: lftp cannot be run.
            ArgumentError: An argument means nothing.
        """
        _check_server(server)
        arguments.check_lftp(run=run, host=host, user=user, password=password, cwd=cwd, files=files, timeout=timeout)
        values = {"lftp": str(self.home.seen(self.home.dot_lftp)), "host": host, "port": str(server.port)}
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
        scene = Scene(self.client, self.home, server.server, server.root, server.secrets)
        return _outcome(attempt(scene, server.spec, request))

    def _put_files(self, files: Mapping[str, Content], cwd: Folder, values: Mapping[str, str]) -> None:
        """All of them, or none: what one of them is made of may be wrong."""
        contents = {
            name: arguments.content(name, given, lambda where, text: arguments.substituted(where, text, values))
            for name, given in files.items()
        }
        for name, data in contents.items():
            folder, plain_name = destination(name, cwd)
            self.home.put_file(plain_name, data, folder=folder)

    def _rc_for(self, rc: Rc, values: Mapping[str, str]) -> str | None:
        """The rc of this run; one that is kept has its placeholders replaced anew."""
        if not isinstance(rc, type(...)):
            self._rc = arguments.rc_template(rc)
        if self._rc is None:
            (self.home.dot_lftp / "rc").unlink(missing_ok=True)
            return None
        if isinstance(self._rc, bytes):
            return self._rc.decode("utf-8", "surrogateescape")
        return arguments.substituted("lftp(rc=…)", self._rc, values)


def _check_server(server: object) -> None:
    if not isinstance(server, ServerHandle):
        shown = arguments.shown_value(server)
        raise ArgumentError(
            f"lftp({shown}): give a server, such as one = ftps_server(); what the user types is lftp(one, host=…)"
        )
    if server.stopped:
        raise ArgumentError(
            f"lftp({server!r}): this server is stopped: servers end with the fixture that made them; make it by a "
            "fixture of a wider scope, or anew"
        )


def _outcome(done: Attempt) -> TestOutcome:
    outcome = done.outcome
    return TestOutcome(
        verdict=outcome.verdict,
        reasons=cast("frozenset[Reason]", outcome.reasons),
        exposed=cast("frozenset[Secret]", outcome.exposed),
        to=cast("frozenset[Receiver]", outcome.to),
        message=outcome.message or done.run.stderr.decode("utf-8", "replace"),
        testimony=done.testimony,
        attempt=done,
    )
