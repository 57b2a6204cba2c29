"""FTPS servers that run in a thread of this process: start, rotate, record, stop.

```python
with FtpsServer(ServerSpec(certificate=certificate), root=folder, password="secret") as server:
    server.record()                       # from now on
    ...                                   # a client talks to (server.host, server.port)
    server.settle()
    print(server.testimony(), server.wire())
```
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self

from ftps_lab.attackers import ATTACKS
from ftps_lab.attackers.genuine import Genuine
from ftps_lab.certificates import twins
from ftps_lab.errors import LabError
from ftps_lab.interface import Server, ServerSpec
from ftps_lab.recorder import Recorder
from ftps_lab.server.accounts import AccountsDoorman
from ftps_lab.server.channel import Identity, TappedTlsMixin
from ftps_lab.server.event_loop import ERRORS, Waker
from ftps_lab.server.handlers import CONTROLS, Doorman, root_path
from ftps_lab.server.tls import server_context, unverified
from ftps_lab.wire.listening import BACKLOG, listen
from ftps_lab.wire.tap import watch_alerts, watch_secrets

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # as in ftps_lab.server.data
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from ftps_lab.certificates import Certificate
    from ftps_lab.server.accounts import Account
    from ftps_lab.testimony import Record, Testimony, Wire

_READY_SECONDS = 10.0
"""Time limit for a server's answer to its first client; it normally takes 2 ms."""

_STOP_SECONDS = 10.0

_ATTACKED: dict[tuple[str, str], type] = {
    (attack.name, protocol): attack.handler(protocol) for attack in ATTACKS.values() for protocol in attack.protocols
}
"""Attack and protocol → the handler that a client meets."""


class _Ftpd(FTPServer):  # type: ignore[misc]  # pyftpdlib ships no types
    """pyftpdlib's server, made to ask its owner for the current recorder."""

    def __init__(self, owner: FtpsServer, sock: socket.socket, handler: type, ioloop: Any) -> None:
        self._owner = owner
        self.lab_peer = ("", 0)
        super().__init__(sock, handler, ioloop=ioloop, backlog=BACKLOG)

    def handle_accept(self) -> None:
        """Accept all waiting connections, not one per turn of the event loop: `FtpsServer.settle` relies on it."""
        while (accepted := self.accept()) is not None:
            self.handle_accepted(*accepted)

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        """Remember the client's address: the socket loses it if the client has already reset."""
        self.lab_peer = addr[:2]
        self._owner.accepting()
        super().handle_accepted(sock, addr)

    def lab_recorder(self) -> Recorder:
        return self._owner.recorder


@dataclass(slots=True)
class _Later:
    """The change that a server makes after a number of connections.

    Attributes:
        connections: How many more control connections meet the current server.
        handler: The handler for later connections.
        role: The server's role until then.
    """

    connections: int
    handler: type
    role: Literal["genuine", "impostor"]


class FtpsServer(Server):
    """One FTP server with TLS in its own thread, bound to loopback by default.

    Args:
        spec: The definition of the server.
        root: The folder that it serves; the caller owns it.
        password: Accepted for any user if `spec` has no password.
        host: The address to bind.
        port: 0 lets the system choose; read `port` back after `start`.
        accounts: User → password and folder; if given, `password` and `spec`'s user are ignored.
        keeps_wire: Whether it keeps the raw bytes for `wire`. The server behind an attacker does not: the wire is what
            passes between client and attacker.

    Attributes:
        recorder: The recorder since the last `record`.
        event_loop: pyftpdlib's event loop, once the server has started; only the server's own thread may use it.
        waker: Runs functions in the server's own thread.
    """

    event_loop: Any
    waker: Waker

    def __init__(
        self,
        spec: ServerSpec,
        *,
        root: os.PathLike[str] | str,
        password: str,
        host: str = "127.0.0.1",
        port: int = 0,
        accounts: Mapping[str, Account] | None = None,
        keeps_wire: bool = True,
    ) -> None:
        self.spec = spec
        self.host = host
        self.port = port
        self._accounts = accounts
        self._keeps_wire = keeps_wire
        self.recorder = self._new_recorder(spec.answers_as)
        self._before: Recorder | None = None
        self._later: _Later | None = None
        self._root = root_path(root)
        self._password = password
        self._behind: FtpsServer | None = None
        self._shown_behind: set[str] = set()
        self._errors: list[str] = []
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failed = False

    @property
    def running(self) -> bool:
        """Whether the server was started and not stopped."""
        return self._thread is not None

    @property
    def behind(self) -> FtpsServer | None:
        """The genuine server behind an attacker in the middle; None without such an attacker."""
        return self._behind

    @property
    def handler(self) -> Any:
        """pyftpdlib's handler class; each connection gets an instance."""
        return self._ftpd.handler

    def override(self, **attributes: Any) -> None:
        """Serve new connections with a subclass of `handler` that has these attributes; `change` undoes that."""
        self._ftpd.handler = type("Handler", (self.handler,), attributes)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Bind, serve, and prove readiness with a real client's 220 and AUTH.

        Raises:
            LabError: The port is taken, or the server did not answer.
        """
        if self._thread is not None:
            raise LabError(
                f"the server on {self.host}:{self.port} is already running: stop it before starting it again"
            )
        listener = self._bind()
        self._stopping = self._failed = False
        try:
            handler = self._handler_class(self.spec)
        except BaseException:
            listener.close()
            raise
        self.event_loop = IOLoop()
        self.waker = Waker(self.event_loop)
        self._ftpd = _Ftpd(self, listener, handler, self.event_loop)
        self._thread = threading.Thread(target=self._serve, name=f"ftps-lab:{self.port}", daemon=True)
        self._thread.start()
        try:
            self._prove_ready()
            # A connection left open here, or behind an attacker in the middle, would look like a client's in a capture.
            self.settle()
        except BaseException:
            self.stop()
            raise
        self.record()
        return self

    def stop(self) -> None:
        """End the thread and close every socket; repeatable.

        Raises:
            LabError: The server's thread had failed, or does not end.
        """
        thread, self._thread = self._thread, None
        behind, self._behind = self._behind, None
        with contextlib.ExitStack() as stack:
            if behind is not None:
                stack.callback(behind.stop)
            if thread is None:
                return
            self._stopping = True
            self.waker.call(lambda: None)
            thread.join(_STOP_SECONDS)
            if thread.is_alive():
                raise LabError(
                    f"the thread of the server on {self.host}:{self.port} does not stop; please report this bug"
                )
            self._raise_errors()

    def change(self, spec: ServerSpec) -> None:
        """Become another server from the next connection on: rotated certificate, TLS off, or behind an attacker.

        Open connections are not affected, and the port stays the same. The role applies from the next `record` on.
        """
        self._later = None
        if self._thread is not None:
            self._ftpd.handler = self._handler_class(spec)
        self.spec = spec

    def change_after(self, connections: int, spec: ServerSpec) -> None:
        """Become another server after this many control connections, and start a new record then."""
        self._later = _Later(connections, self._handler_class(spec), self.spec.answers_as)
        self.spec = spec

    def accepting(self) -> None:
        """Called in the server's thread when a control connection has been accepted and before anything is sent."""
        later = self._later
        if later is None:
            return
        if later.connections == 0:
            self._before, self.recorder = self.recorder, self._new_recorder(self.spec.answers_as)
            self._ftpd.handler, self._later = later.handler, None
        else:
            later.connections -= 1

    def record(self) -> None:
        """Start a new record; open connections keep writing to the old one."""
        self._record_since(time.monotonic())

    def _new_recorder(self, role: Literal["genuine", "impostor"], began: float | None = None) -> Recorder:
        return Recorder(role, began, keeps_wire=self._keeps_wire)

    def _record_since(self, began: float) -> None:
        """Start new records here and on the server behind at the same moment, so that their times are comparable."""
        self._before = None
        self.recorder = self._new_recorder(self.spec.answers_as if self._later is None else self._later.role, began)
        if self._behind is not None:
            self._behind._record_since(began)  # noqa: SLF001 - one of us

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until everything that clients sent and closed has been witnessed.

        Args:
            timeout: Seconds.

        Returns:
            False if a connection is still open after `timeout`, so the record is incomplete.

        Raises:
            LabError: The server's thread failed.
        """
        # Each call runs in its own turn of the event loop. The first may run in a turn that began before the last
        # connection was queued, the second in the same turn as its acceptance but before it; the third runs after it.
        for _ in range(3):
            self._raise_errors()
            if self._thread is None:
                break
            passed = threading.Event()
            self.waker.call(passed.set)
            if not passed.wait(timeout):
                self._raise_errors()
                return False
        complete = self.recorder.wait_closed(timeout)
        if self._before is not None:
            complete &= self._before.wait_closed(timeout)
        self._raise_errors()
        if self._behind is not None:
            complete &= self._behind.settle(timeout)
        return complete

    def testimony(self) -> Testimony:
        """What the server witnessed since `record`."""
        testimony = self.recorder.testimony()
        if self.spec.behind is None or self._behind is None:
            return testimony
        return replace(testimony, behind=self._behind.testimony())

    def wire(self) -> Wire:
        """The raw bytes since `record`; none if they are not kept (`keeps_wire`)."""
        return self.recorder.wire()

    def finish(self, timeout: float = 5.0) -> Record:
        """`settle`, then `testimony` and `wire`."""
        record = super().finish(timeout)
        return record if self._before is None else replace(record, before=self._before.wire())

    def _handler_class(self, spec: ServerSpec) -> type:
        """pyftpdlib's handler for this server, in its own class so that two servers never share attributes."""
        names: dict[str, Any] = {"authorizer": self._doorman(spec)}
        names |= {"greeting": spec.greeting, "greeting_in_pieces": spec.greeting_in_pieces}
        if spec.protocol != "plain":
            names |= self._identities(spec)
            names |= {"tls_control_required": spec.require_tls, "tls_data_required": spec.require_tls}
        if spec.attack == "none":
            return type("Handler", (CONTROLS[spec.protocol],), names)
        attacked = _ATTACKED.get((spec.attack, spec.protocol))
        if attacked is None:
            raise LabError(f"attack {spec.attack!r} does not exist for a server of protocol {spec.protocol!r}")
        names |= {"attack_reply": spec.attack_reply, "attack_how": spec.attack_how}
        if spec.behind is not None:
            names["genuine"] = self._stand_behind(spec.behind)
        return type("Handler", (attacked,), names)

    def _doorman(self, spec: ServerSpec) -> Doorman:
        if self._accounts is not None:
            return AccountsDoorman(self._accounts)
        return Doorman(self._root, self._password if spec.password is None else spec.password, spec.user)

    def _stand_behind(self, spec: ServerSpec) -> Genuine:
        """Start the genuine server behind an attacker in the middle, on its own port."""
        assert spec.protocol != "plain"
        shown = (spec.certificate, spec.data_certificate)
        self._shown_behind |= {certificate.sha256 for certificate in shown if certificate is not None}
        if self._behind is None:
            self._behind = FtpsServer(
                spec,
                root=self._root,
                password=self._password,
                host=self.host,
                accounts=self._accounts,
                keeps_wire=False,
            ).start()
        else:
            self._behind.change(spec)
        return Genuine((self.host, self._behind.port), spec.protocol, self._shown_behind)

    def _identities(self, spec: ServerSpec) -> dict[str, Any]:
        if spec.certificate is None:
            raise LabError(f"a server of protocol {spec.protocol!r} needs a certificate: give `certificate`")
        if spec.intercepted:
            own = spec.attack_certificate or twins({"": spec.certificate})[""]
            identity = data = self._identity(spec, own, own.chain)
        else:
            identity = data = self._identity(spec, spec.certificate, spec.chain)
            if spec.data_certificate is not None and spec.data_certificate is not spec.certificate:
                data = self._identity(spec, spec.data_certificate, spec.chain)
        return {"identity": identity, "data_identity": data, "ssl_context": identity.context}

    def _identity(self, spec: ServerSpec, certificate: Certificate, chain: Sequence[Certificate]) -> Identity:
        context = server_context(certificate, chain, spec.tls)
        watch_alerts(context)
        watch_secrets(context)
        return Identity(context, certificate.sha256)

    def _bind(self) -> socket.socket:
        listener = listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        return listener

    def _serve(self) -> None:
        ERRORS.by_thread[threading.get_ident()] = self._errors
        try:
            soonest: float | None = None
            while not self._stopping:
                soonest = self.event_loop.loop(soonest, blocking=False)
        except BaseException as error:  # noqa: BLE001 - it surfaces in the caller, whatever it is
            self._failed = True
            self._errors.append(f"{type(error).__name__}: {error}")
        finally:
            self._close_all()
            del ERRORS.by_thread[threading.get_ident()]

    def _close_all(self) -> None:
        for connection in list(self.event_loop.socket_map.values()):
            if isinstance(connection, TappedTlsMixin):
                connection.end()  # pyftpdlib would wait for a client that does not read its last bytes
        self.event_loop.close()  # last, because an attacker in the middle may open a data connection as it ends

    def _raise_errors(self) -> None:
        if self._errors:
            errors, self._errors[:] = "\n".join(self._errors), []
            raise LabError(f"the server on {self.host}:{self.port} failed in its own thread:\n{errors}")
        if self._thread is not None and self._failed:
            raise LabError(
                f"the server on {self.host}:{self.port} failed in its own thread, which has ended: "
                "stop it, then start it again"
            )

    def _prove_ready(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                client = stack.enter_context(socket.create_connection((self.host, self.port), _READY_SECONDS))
                if self.spec.protocol == "implicit":
                    client = stack.enter_context(unverified().wrap_socket(client))
                replies = stack.enter_context(client.makefile("rb"))
                self._expect(replies, 220)
                if self.spec.protocol != "implicit" and self.spec.attack == "none":
                    client.sendall(b"AUTH TLS\r\n")
                    self._expect(replies, 500 if self.spec.protocol == "plain" else 234)
        except OSError as error:
            self._raise_errors()
            raise LabError(f"the server on {self.host}:{self.port} did not become ready: {error}") from error

    def _expect(self, replies: BinaryIO, code: int) -> None:
        """Read one whole reply."""
        lines = [replies.readline()]
        while lines[0].startswith(b"%d-" % code) and not lines[-1].startswith(b"%d " % code) and lines[-1]:
            lines.append(replies.readline())
        if not lines[-1].startswith(b"%d " % code):
            self._raise_errors()
            raise LabError(f"the server on {self.host}:{self.port} answered {lines[-1]!r}, not {code}")
