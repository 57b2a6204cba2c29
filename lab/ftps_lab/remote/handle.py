"""A server that an agent runs elsewhere, behind the interface of every server of the lab.

```python
host = RemoteHost(line)                                # a line to `python -m ftps_lab.remote.agent`
server = host.serve("lab", spec, root=folder, password="secret", users=("alice",))
server.record()
...                                                    # a client talks to (server.host, server.port)
server.settle()
print(server.testimony(), server.wire())
server.stop()                                          # the next may be served
```

It is independent of containers: a line may lead to any process; those of `ftps_lab.containers` lead into a container.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol, TypeVar

from ftps_lab.errors import LabError
from ftps_lab.interface import Server
from ftps_lab.remote import orders
from ftps_lab.scripted.steps import ScriptedConnection
from ftps_lab.testimony import Record, Testimony, Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_lab.interface import ServerSpec
    from ftps_lab.scripted.steps import Script

ANSWER_SECONDS = 30.0
"""Time limit for an agent's answer to an order that does not wait; it takes milliseconds."""

START_SECONDS = 60.0
"""Time limit for a server to become ready; the slowest daemon takes 3 s on a busy machine."""

_SETTLE_ROUNDS = 10
"""Maximum number of waits of `timeout` seconds that a server makes in `settle`, and one more behind an attacker."""

_Returned = TypeVar("_Returned")


class Line(Protocol):
    """Lines of bytes to and from a process elsewhere."""

    def send(self, line: bytes) -> None:
        """Send a line, including its newline.

        Raises:
            LabError: The process is gone, or does not read.
        """

    def receive(self, timeout: float) -> bytes:
        """The next line, including its newline.

        Raises:
            TimeoutError: No line came within `timeout` seconds.
            EOFError: No more lines will come: the process has ended.
            LabError: The connection to it is lost.
        """

    def last_words(self) -> str:
        """The process's last output on stderr, for a message; empty if none."""

    def close(self) -> None:
        """End the process by closing its stdin; repeatable."""


class RemoteHost:
    """Where an agent runs servers, one at a time. Calls from several threads are serialized.

    Args:
        line: Leads to the agent; the caller closes it.
        name: Its name in messages.
    """

    def __init__(self, line: Line, name: str = "the server's agent") -> None:
        self._line = line
        self._name = name
        self._lock = threading.Lock()
        self._number = 0
        self._given_up = ""

    @property
    def given_up(self) -> bool:
        """The agent is dead or silent: it gets no further orders."""
        return bool(self._given_up)

    def ping(self, timeout: float = START_SECONDS) -> dict[str, str]:
        """Wait until the agent answers.

        Returns:
            The versions of the software that serves there.

        Raises:
            LabError: It does not answer.
        """
        return self.call("ping", dict[str, str], timeout)

    def serve(
        self,
        kind: str,
        spec: ServerSpec,
        *,
        root: os.PathLike[str] | str,
        password: str,
        users: Sequence[str] = (),
        host: str = "",
        port: int = 21,
    ) -> RemoteServer:
        """Start a server; it is ready when this returns.

        Args:
            kind: ``lab`` for our own, or the kind of a daemon in `ftps_lab.daemons`.
            spec: The server's specification.
            root: The folder that it serves, as the agent sees it.
            password: Valid for any user, or for each of `users` if a daemon needs to know them.
            users: The users that will log in.
            host: The address to bind, as the agent sees it; empty for its machine's own.
            port: 0 lets the system choose.

        Raises:
            LabError: The server cannot run there, or the agent does not answer.
        """
        start = orders.Start(
            kind=kind, root=os.fspath(root), password=password, users=tuple(users), host=host, port=port
        )
        sent = orders.sent_spec(spec)
        return RemoteServer(self, self.call("serve", orders.Serving, START_SECONDS, start=start, spec=sent))

    def serve_scripts(self, scripts: Sequence[Script], *, host: str = "", port: int = 0) -> RemoteScripts:
        """Start a server that follows scripts, in addition to any that runs there; it is ready when this returns.

        Args:
            scripts: Connection n of a record follows script n; later ones follow the last.
            host: The address to bind, as the agent sees it; empty for its machine's own.
            port: 0 lets the system choose.

        Raises:
            LabError: The server cannot run there, or the agent does not answer.
        """
        order = orders.sent_scripts(scripts, host=host, port=port)
        return RemoteScripts(self, self.call("serve_scripts", orders.Serving, START_SECONDS, scripts=order))

    def call(  # noqa: PLR0913 - one for each field of `orders.Call`
        self,
        method: orders.Method,
        expected: type[_Returned],
        timeout: float = ANSWER_SECONDS,
        *,
        server: int = 0,
        start: orders.Start | None = None,
        spec: orders.SentSpec | None = None,
        scripts: orders.StartScripts | None = None,
        wait: float = 0.0,
        after: int = 0,
    ) -> _Returned:
        """Call a method, and wait for its result.

        Args:
            method: Its name.
            expected: The type of its result.
            timeout: Seconds until the agent is given up.
            server: The server whose method it is; 0 for the agent's own.
            start: Which server to start.
            spec: The server's specification.
            scripts: Which scripted server to start.
            wait: Seconds that the method itself may wait.
            after: For ``change_after``: how many control connections still get the unchanged server.

        Raises:
            LabError: The call failed, or the agent is dead or silent; it is then given up for good.
        """
        with self._lock:
            if self._given_up:
                raise LabError(f"{self._name} failed earlier and gets no more calls: {self._given_up}")
            self._number += 1
            call = orders.Call(
                number=self._number,
                method=method,
                server=server,
                start=start,
                spec=spec,
                scripts=scripts,
                timeout=wait,
                after=after,
            )
            result = self._exchange(orders.line(call), timeout)
        if result.failure:
            raise LabError(self._bug(result.failure) if result.bug else result.failure)
        try:
            return orders.value_of(result, expected)
        except LabError as error:
            raise LabError(self._bug(str(error))) from None

    def _exchange(self, text: bytes, timeout: float) -> orders.Result:
        """Send a call and receive its result. Any failure ends the conversation: a late answer must not be used."""
        try:
            self._line.send(text)
            answer = orders.read_result(self._line.receive(timeout))
        except TimeoutError:
            raise self._give_up(f"did not answer within {timeout:g} seconds") from None
        except EOFError:
            raise self._give_up("has ended") from None
        except LabError as error:
            raise self._give_up(f"cannot be reached: {error}") from None
        except BaseException:
            self._given_up = "a call was interrupted"
            raise
        # An agent cannot give the number of an order that it could not parse.
        if answer.number != self._number and not (answer.number == 0 and answer.failure):
            raise self._give_up(f"answered call {answer.number}, not {self._number}")
        return answer

    def _give_up(self, what: str) -> LabError:
        self._given_up = what
        words = self._line.last_words()
        said = f"; the end of its stderr:\n{words}" if words else " and wrote nothing to stderr"
        return LabError(f"{self._name} {what}: start it again, and report this bug if it recurs{said}")

    def _bug(self, message: str) -> str:
        return f"{self._name} failed unexpectedly (a bug in the lab; please report it):\n{message}"


class RemoteServer(Server):
    """A running server and what it witnessed, elsewhere.

    Attributes:
        host: Its address, as the agent sees it.
        port: Its port there.
    """

    def __init__(self, agent: RemoteHost, serving: orders.Serving) -> None:
        self.host = serving.host
        self.port = serving.port
        self._agent = agent
        self._server = serving.server
        self._stopped = False

    def change(self, spec: ServerSpec) -> None:
        """Become another server from the next connection on; the address stays."""
        self._call("change", type(None), START_SECONDS, spec=orders.sent_spec(spec))

    def change_after(self, connections: int, spec: ServerSpec) -> None:
        """Become another server after this many control connections, counted from the next record."""
        self._call("change_after", type(None), START_SECONDS, spec=orders.sent_spec(spec), after=connections)

    def record(self) -> None:
        """Start a new record."""
        self._call("record", type(None))

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until the clients' actions are recorded; False if a connection is still open after `timeout` seconds."""
        return self._call("settle", bool, _longest(timeout), wait=timeout)

    def testimony(self) -> Testimony:
        """What the server witnessed since `record`."""
        return self._call("testimony", Testimony)

    def wire(self) -> Wire:
        """The raw bytes since `record`."""
        return self._call("wire", Wire)

    def begin(self) -> bool:
        """Start a new record; False if it already has a connection. One round trip."""
        return self._call("begin", bool)

    def finish(self, timeout: float = 5.0) -> Record:
        """The record once the server has settled. One round trip."""
        return self._call("finish", Record, _longest(timeout), wait=timeout)

    def stop(self) -> None:
        """Stop it; repeatable. If its agent was given up before, it has ended or ends with its line."""
        if self._stopped or self._agent.given_up:
            return
        self._call("stop", type(None), START_SECONDS)
        self._stopped = True

    def _call(
        self,
        method: orders.Method,
        expected: type[_Returned],
        timeout: float = ANSWER_SECONDS,
        *,
        spec: orders.SentSpec | None = None,
        wait: float = 0.0,
        after: int = 0,
    ) -> _Returned:
        return self._agent.call(method, expected, timeout, server=self._server, spec=spec, wait=wait, after=after)


class RemoteScripts:
    """A server that follows scripts, elsewhere (`ftps_lab.scripted.ScriptedServer`).

    Attributes:
        host: Its address, as the agent sees it.
        port: Its port there.
    """

    def __init__(self, agent: RemoteHost, serving: orders.Serving) -> None:
        self.host = serving.host
        self.port = serving.port
        self._agent = agent
        self._server = serving.server
        self._stopped = False

    def record(self) -> None:
        """Start a new record; the next connection follows the first script again."""
        self._agent.call("record", type(None), server=self._server)

    def connections(self, timeout: float = 2.0) -> tuple[ScriptedConnection, ...]:
        """The connections since `record`, in order, once all clients have left, at the latest after `timeout` seconds.

        Raises:
            LabError: The server was stopped or has failed.
        """
        kind = tuple[ScriptedConnection, ...]
        return self._agent.call("connections", kind, ANSWER_SECONDS + timeout, server=self._server, wait=timeout)

    def stop(self) -> None:
        """Stop it and close every connection; repeatable."""
        if self._stopped or self._agent.given_up:
            return
        self._agent.call("stop", type(None), START_SECONDS, server=self._server)
        self._stopped = True


def _longest(timeout: float) -> float:
    return ANSWER_SECONDS + _SETTLE_ROUNDS * timeout
