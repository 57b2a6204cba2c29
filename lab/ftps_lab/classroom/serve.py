"""One host of the classroom: its certificates, its files, its server, and the signals that it obeys."""

from __future__ import annotations

import contextlib
import signal
import socket
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ftps_lab.attackers import ATTACKS
from ftps_lab.certificates import issue, twins
from ftps_lab.classroom.events import append
from ftps_lab.classroom.folders import done, fill, last_order, ordered, writing
from ftps_lab.classroom.hosts import CHECKER, LEAF, PASSWORD, PORT
from ftps_lab.classroom.ident import user_of
from ftps_lab.classroom.journal import Journal, Session, report_daemon_sessions
from ftps_lab.classroom.keys import keep
from ftps_lab.daemons import DaemonServer
from ftps_lab.errors import LabError
from ftps_lab.interface import LAB_KIND, ServerSpec
from ftps_lab.server.accounts import Account
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ftps_lab.certificates import Certificate
    from ftps_lab.classroom.hosts import Host
    from ftps_lab.classroom.learners import Learner

ROTATE = signal.SIGHUP
"""The signal that makes daemons reload their certificate, by convention."""

_LOOK_SECONDS = 0.3
"""Maximum time for one look: a daemon's relay and log answer quickly, but not immediately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The folders that a host reads and writes.

    Attributes:
        root: The files that it serves.
        handed_out: The files that students get.
        staff: The files that only the hosts, the checker and the teacher see: roster, events, orders, keys.
    """

    root: Path
    handed_out: Path
    staff: Path


def serve(host: Host, say: Callable[[str], None], folders: Folders, learners: Sequence[Learner]) -> None:
    """Serve at the address of the host's name until SIGTERM or SIGINT; SIGHUP switches to another certificate.

    It listens nowhere else, so it stays in the classroom's network: only there does example.com resolve to this
    machine.

    Args:
        host: The host to serve.
        say: Receives each line for the teacher.
        folders: The folders that the host reads and writes.
        learners: The users that may log in, each to their own folder.

    Raises:
        LabError: The name resolves to another machine, or the server failed.
    """
    signals: SimpleQueue[int] = SimpleQueue()  # its put may be called in a signal's handler
    for number in (signal.SIGTERM, signal.SIGINT, ROTATE):
        signal.signal(number, lambda received, _frame: signals.put(received))
    with running(host, say, folders, learners, address=own_address(host), port=PORT) as running_host:
        while (received := _next(signals)) in {None, ROTATE}:
            if received == ROTATE:
                running_host.rotate()
            running_host.look()


def own_address(host: Host) -> str:
    """The address that the host's name resolves to.

    Raises:
        LabError: The name has no address, or the address of another machine.
    """
    try:
        address = socket.gethostbyname(host.address)
        with socket.create_server((address, 0)):
            return address
    except OSError as error:
        raise LabError(
            f"{host.address} does not resolve to this machine ({error.strerror or error}); run the classroom's hosts "
            f"in containers, with `docker compose up` in the repository"
        ) from error


@contextlib.contextmanager
def running(
    host: Host, say: Callable[[str], None], folders: Folders, learners: Sequence[Learner], *, address: str, port: int
) -> Iterator[ClassroomHost]:
    """Run the host until the context ends.

    Raises:
        LabError: A folder cannot be written to, the port is taken, or the server did not answer.
    """
    for learner in learners:
        fill(folders.root / learner.name, host.address)
    running_host = ClassroomHost(host, say, folders, learners, address=address, port=port)
    running_host.server.start()
    try:
        running_host.open()
        yield running_host
    finally:
        running_host.server.stop()


class ClassroomHost:
    """A host: its server and its current certificates.

    Attributes:
        server: The server that answers.
    """

    def __init__(
        self,
        host: Host,
        say: Callable[[str], None],
        folders: Folders,
        learners: Sequence[Learner],
        *,
        address: str,
        port: int,
    ) -> None:
        self._host = host
        self._say = say
        self._folders = folders
        self._learners = learners
        self._order = last_order(folders.staff)
        self._journal = Journal(
            host.name,
            say,
            on_event=lambda event: append(folders.staff, event),
            user_of=lambda peer: user_of(peer, port),
            is_checker=lambda peer: peer == _checker_of(folders.staff),
            unseen=frozenset({address}),
            names=frozenset(learner.name for learner in learners),
        )
        spec = self._spec()
        self.server: FtpsServer | DaemonServer = self._make(spec, address, port)

    def _make(self, spec: ServerSpec, address: str, port: int) -> FtpsServer | DaemonServer:
        root = self._folders.root
        if self._host.server == LAB_KIND:
            accounts = {each.name: Account(each.password, root / each.name) for each in self._learners}
            return FtpsServer(spec, root=root, password="", host=address, port=port, accounts=accounts)
        passwords = {each.name: each.password for each in self._learners}
        return DaemonServer(
            self._host.server,
            spec,
            root=root,
            password=PASSWORD,
            users=tuple(passwords),
            passwords=passwords,
            host=address,
            port=port,
        )

    def open(self) -> None:
        """Print that the host is ready, and report every session from now on."""
        if isinstance(self.server, FtpsServer):
            self.server.recorder = Session(self.server, self._journal)
        self._say(f"ready: {self._host.about}")
        self._say_fingerprints()

    def rotate(self) -> None:
        """Switch to another key and another certificate, from the next connection on."""
        self.server.change(self._spec())
        self._say("now showing another certificate:")
        self._say_fingerprints()

    def look(self) -> None:
        """Do the periodic work.

        Raises:
            LabError: The server has failed.
        """
        settled = self.server.settle(_LOOK_SECONDS)
        if settled and isinstance(self.server, DaemonServer):
            report_daemon_sessions(self.server, self._journal)
        self._obey()

    def _obey(self) -> None:
        """Restore learners' folders if the teacher has ordered it."""
        staff = self._folders.staff
        while self._order < last_order(staff):
            self._order += 1
            for name in ordered(staff, self._order):
                fill(self._folders.root / name, self._host.address)
            done(staff, self._host.name, self._order)
            self._say("the learners' folders have been restored")

    def _spec(self) -> ServerSpec:
        certificates = issue(self._host.specs)
        for name, certificate in self._host.handed_out.items():
            _put(self._folders.handed_out / name, certificates[certificate].pem)
        leaf = certificates[LEAF]
        if self._host.server == LAB_KIND:
            self._keep(self._host.name, leaf)
        if self._host.attack == "none":
            return ServerSpec(certificate=leaf)
        own = twins({LEAF: leaf})[LEAF] if ATTACKS[self._host.attack].intercepts else None
        if own is not None:
            self._keep(f"{self._host.name}-attacker", own)
        return ServerSpec(certificate=leaf, attack=self._host.attack, attack_certificate=own)

    def _keep(self, name: str, certificate: Certificate) -> None:
        with writing(self._folders.staff):
            keep(self._folders.staff, name, certificate)

    def _say_fingerprints(self) -> None:
        """Print SHA-1 fingerprints, because lftp shows SHA-1."""
        spec = self.server.spec
        assert spec.certificate is not None
        if spec.attack != "none":
            self._say("the genuine server's certificate:")
            self._say(spec.certificate.sha1)
            if not spec.intercepted:
                self._say("clients are shown none, because AUTH is refused")
                return
            self._say("clients are shown this one instead:")
        self._say((spec.attack_certificate or spec.certificate).sha1)


def _checker_of(staff: Path) -> str:
    """The address of the checker, which inspects hosts as their health checks do; empty while no checker runs."""
    with contextlib.suppress(OSError):
        return (staff / CHECKER).read_text("ascii")
    return ""


def _put(path: Path, content: bytes) -> None:
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def _next(signals: SimpleQueue[int]) -> int | None:
    """The next signal; None after a second without one."""
    with contextlib.suppress(Empty):
        return signals.get(timeout=1)
    return None
