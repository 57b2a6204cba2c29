"""A real FTP daemon behind the interface of all the lab's servers: it starts, rotates, witnesses and stops."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ftps_lab.daemons import probe
from ftps_lab.daemons.builder import Habits, TestimonyBuilder
from ftps_lab.daemons.kinds import DAEMONS, why_not
from ftps_lab.daemons.log import sessions
from ftps_lab.daemons.recording import Recording
from ftps_lab.daemons.relay import Relay
from ftps_lab.errors import LabError
from ftps_lab.interface import Server
from ftps_lab.server.handlers import root_path
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from ftps_lab.daemons.daemon import Daemon
    from ftps_lab.daemons.inetd import Inetd
    from ftps_lab.daemons.process import Process
    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import Testimony, Wire

_READY_SECONDS = 10.0
_PORTS = 50
_INNER_PORT = 2121

_QUIET_SECONDS = 0.05
"""Minimum grace for logs delivered through syslog."""


class DaemonServer(Server):
    """A daemon on its own loopback address, with the relay in front of it.

    Args:
        kind: A key of `DAEMONS`.
        spec: The server to be.
        root: The folder that it serves; the caller owns it.
        password: The users' password.
        users: The users who may log in. The daemons in `ANONYMOUS` also admit ``anonymous``.
        host: The IPv4 address, or a name for one, on which clients reach it, and which it announces.
        port: 0 lets the system choose.
        passwords: User → this user's own password, for a vsftpd with a folder below `root` for each user.
    """

    def __init__(
        self,
        kind: str,
        spec: ServerSpec,
        *,
        root: os.PathLike[str] | str,
        password: str,
        users: tuple[str, ...],
        host: str,
        port: int = 21,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.spec = spec
        self.host = host
        self.port = port
        self._root = Path(root_path(root))
        self._password = password
        self._users = users
        self._passwords = passwords
        self._folder: Folder | None = None
        self._daemon: Daemon | None = None
        self._process: Process | Inetd | None = None
        self._former: list[Process | Inetd] = []
        self._relay: Relay | None = None
        self._from = 0
        self._role = spec.answers_as
        self._last_recording = Recording()
        self._last_lines: list[str] = []
        self._numbers = count(1)
        self._not_of_this_record: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the daemon and the relay; ready means a real 220 and the right certificate.

        Raises:
            LabError: The daemon is not installed, cannot be such a server or does not answer, or the port is in use.
        """
        if reason := why_not(self.kind, self.spec):
            raise LabError(reason)
        if self._process is not None:
            raise LabError(
                f"the {self.kind} on {self.host}:{self.port} is already running: stop it before starting it again"
            )
        DAEMONS[self.kind].path()
        self._from = 0
        try:
            self._folder = Folder(self.kind)
            self._inner = (f"127.{random.randrange(64, 128)}.{random.randrange(1, 255)}.1", _INNER_PORT)
            outward = socket.gethostbyname(self.host)
            passive = self._start_relay(outward)
            self._daemon = self._make_daemon(self._folder.path, outward, passive)
            self._daemon.write(self.spec)
            self._process = self._daemon.run()
            self._prove()
        except BaseException:
            self.stop()
            raise
        self.record()
        return self

    def _start_relay(self, outward: str) -> range:
        """Start the relay on free ports, and return its passive ports, which form one range."""
        if outward == "0.0.0.0":  # noqa: S104 - refused
            raise LabError("a daemon needs a specific address to announce: set `host` to one, not to 0.0.0.0")
        for attempt in range(20):
            start = random.randrange(20000, 30000)
            passive = range(start, start + _PORTS)
            try:
                self._relay = Relay(outward, self.port, passive, self._inner, self._source)
            except LabError as error:
                if f"port {self.port}:" in str(error) or attempt == 19:
                    raise
                continue
            self.port = self._relay.port
            return passive
        raise AssertionError("not reached")

    def _make_daemon(self, folder: Path, outward: str, passive: range) -> Daemon:
        return DAEMONS[self.kind](
            folder,
            root=self._root,
            users=self._users,
            password=self._password,
            address=self._inner,
            passive=passive,
            outward=outward,
            passwords=self._passwords,
        )

    def _source(self) -> str:
        """A loopback address that no connection to this daemon has used yet."""
        with self._lock:
            number = next(self._numbers)
        if number >= 1 << 22:
            raise LabError("this daemon has used up its four million source addresses: start it again")
        high, low = divmod(number, 250)
        third, second = high % 250, 128 + high // 250
        return f"127.{second}.{third}.{low + 2}"

    def stop(self) -> None:
        """End the daemon with all its sessions, and the relay; repeatable. The testimony remains available.

        Raises:
            LabError: A process or the relay does not end.
        """
        processes = [process for process in (*self._former, self._process) if process is not None]
        self._former, self._process = [], None
        relay, self._relay = self._relay, None
        folder, self._folder = self._folder, None
        try:
            with contextlib.ExitStack() as stack:  # a process that does not end must not keep the others alive
                for process in processes:
                    stack.callback(process.stop)
        finally:
            if relay is not None:
                relay.stop()
                self._last_recording = relay.recording
            if self._daemon is not None:
                self._daemon.close()
            if folder is not None:
                self._last_lines = self._daemon.lines(self._from) if self._daemon is not None else []
                folder.close()

    def change(self, spec: ServerSpec) -> None:
        """Switch to another spec from the next connection on, and check it. Open sessions continue unchanged.

        Raises:
            LabError: The daemon cannot be such a server, has died, or does not show the new certificate.
        """
        if reason := why_not(self.kind, spec):
            raise LabError(reason)
        daemon, process, _ = self._running()
        process.require_alive()
        # Start a new daemon beside the old one, because SIGHUP is not enough: vsftpd keeps its certificate, Pure-FTPd
        # ends. It gets its own port, because the sessions of an old Pure-FTPd keep theirs open.
        daemon.address = self._inner = (self._inner[0], self._inner[1] + 1)
        daemon.write(spec)
        self.spec = spec
        self._former.append(process)
        self._process = daemon.run()
        self._prove()
        process.stop_listening()

    def _prove(self) -> None:
        """Wait until the daemon greets and shows exactly the declared certificate, then send clients to it."""
        daemon, process, relay = self._running()
        expected = (
            "" if self.spec.certificate is None or self.spec.protocol == "plain" else self.spec.certificate.sha256
        )
        until = time.monotonic() + _READY_SECONDS
        problem = "it did not answer"
        while time.monotonic() < until:
            process.require_alive()
            source = self._source()
            self._not_of_this_record.add(source)
            try:
                leaf = probe.shown(self._inner, source, self.spec)
            except OSError as error:
                problem = str(error)
            else:
                if leaf == expected:
                    relay.show(self._inner, expected, implicit=self.spec.protocol == "implicit")
                    return
                problem = f"it shows the certificate {leaf}, not {expected}"
            time.sleep(0.003)
        raise LabError(f"{daemon.binary} did not become ready: {problem}; the end of its log:\n{daemon.tail()}")

    def record(self) -> None:
        """Start a new record; open connections still write to the old one.

        Raises:
            LabError: The daemon has died.
        """
        daemon, process, relay = self._running()
        process.require_alive()
        self._from = daemon.log_size()
        former = relay.recording
        relay.record()  # first: until then a connection may still land on the previous recording
        self._not_of_this_record |= {link.source for link in former.links}
        self._role = self.spec.answers_as

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until every connection is closed on both sides and the daemon has ended its sessions.

        Returns:
            False if `timeout` seconds were not enough: the record is incomplete.

        Raises:
            LabError: The daemon has died, or the relay failed.
        """
        daemon, process, relay = self._running()
        until = time.monotonic() + timeout
        settled = relay.settle(relay.recording, timeout)
        relay.raise_errors()
        process.require_alive()
        while settled and not self._has_ended(daemon, process, until):
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        self._former = [former for former in self._former if former.children()]
        process.require_alive()
        return settled

    def _has_ended(self, daemon: Daemon, process: Process | Inetd, until: float) -> bool:
        """Whether its sessions have ended and their log is complete."""
        if any(each.children() for each in (*self._former, process)):
            return False
        return daemon.is_quiet(max(_QUIET_SECONDS, until - time.monotonic()))

    def testimony(self) -> Testimony:
        """What the log, the files and the relay show about the time since `record`."""
        daemon, make = self._daemon, DAEMONS[self.kind]
        lines = daemon.lines(self._from) if daemon is not None and self._folder is not None else self._last_lines
        found, strange = sessions(daemon.events(lines) if daemon is not None else ())
        doubts = [f"the daemon's log has a line in an unknown format: {line}" for line in strange]
        return TestimonyBuilder(
            role=self._role,
            links=list(self._recording.links),
            sessions=found,
            root=self._root,
            passwords=self._passwords or dict.fromkeys(self._users, self._password),
            habits=Habits(make.last_words, make.tickets, make.leaves_out),
            others=self._not_of_this_record,
            discrepancies=doubts,
        ).testimony()

    def wire(self) -> Wire:
        """The raw bytes since `record`."""
        return self._recording.wire

    @property
    def _recording(self) -> Recording:
        return self._last_recording if self._relay is None else self._relay.recording

    def _running(self) -> tuple[Daemon, Process | Inetd, Relay]:
        if self._daemon is None or self._process is None or self._relay is None:
            raise LabError(f"the {self.kind} on {self.host}:{self.port} is not running: start it first")
        return self._daemon, self._process, self._relay
