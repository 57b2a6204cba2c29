"""One host of the classroom: its certificates, its files, its server, and the signals that it obeys."""

from __future__ import annotations

import contextlib
import signal
import socket
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ftps_lab.certificates import issue, twins
from ftps_lab.classroom.hosts import LEAF, PASSWORD, PORT, USER
from ftps_lab.classroom.journal import Session, tell_of_a_daemon
from ftps_lab.daemons import DaemonServer
from ftps_lab.errors import LabError
from ftps_lab.interface import LAB_KIND, ServerSpec
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftps_lab.classroom.hosts import Host

ROTATE = signal.SIGHUP
"""As daemons have it: read your certificate again."""

_LOOK_SECONDS = 0.3
"""How long a look may take: a daemon's relay and log answer in a moment, but not at once."""

_FILES = {
    "welcome.txt": "You have reached {address}.\n\nOr have you? Anybody can send this text.\n",
    "backup/monday.txt": "The backup of Monday.\n",
    "backup/tuesday.txt": "The backup of Tuesday, with the salaries.\n",
}


def serve(host: Host, say: Callable[[str], None], *, root: Path, handed_out: Path) -> None:
    """Serve where the host's name leads, until SIGTERM or SIGINT; SIGHUP brings another certificate.

    That it listens nowhere else keeps it in the classroom's network: in no other does example.com lead to this machine.

    Args:
        host: Which host.
        say: Is given each line for the teacher.
        root: The folder for the files that it serves.
        handed_out: The folder for what is handed to students.

    Raises:
        LabError: The name leads elsewhere, or the server failed.
    """
    signals: SimpleQueue[int] = SimpleQueue()  # its put may be called in a signal's handler
    for number in (signal.SIGTERM, signal.SIGINT, ROTATE):
        signal.signal(number, lambda received, _frame: signals.put(received))
    with running(host, say, root=root, handed_out=handed_out, address=own_address(host), port=PORT) as running_host:
        while (received := _next(signals)) in {None, ROTATE}:
            if received == ROTATE:
                running_host.rotate()
            running_host.look()


def own_address(host: Host) -> str:
    """The address that the host's name has.

    Raises:
        LabError: It has none, or one of another machine.
    """
    try:
        address = socket.gethostbyname(host.address)
        with socket.create_server((address, 0)):
            return address
    except OSError as error:
        raise LabError(
            f"{host.address} does not lead to this machine ({error.strerror or error}): the hosts of the classroom run "
            "in containers, started by `docker compose up` in the repository"
        ) from error


@contextlib.contextmanager
def running(
    host: Host, say: Callable[[str], None], *, root: Path, handed_out: Path, address: str, port: int
) -> Iterator[ClassroomHost]:
    """The host, until the context is left.

    Raises:
        LabError: A folder cannot be written to, the port is taken, or the server did not answer.
    """
    for name, text in _FILES.items():
        _put(root / name, text.format(address=host.address).encode())
    running_host = ClassroomHost(host, say, root=root, handed_out=handed_out, address=address, port=port)
    running_host.server.start()
    try:
        running_host.open()
        yield running_host
    finally:
        running_host.server.stop()


class ClassroomHost:
    """A host: its server, and the certificates that it has at the moment.

    Attributes:
        server: What answers.
    """

    def __init__(
        self, host: Host, say: Callable[[str], None], *, root: Path, handed_out: Path, address: str, port: int
    ) -> None:
        self._host = host
        self._say = say
        self._handed_out = handed_out
        self._unseen = frozenset({address})
        spec = self._spec()
        self.server: FtpsServer | DaemonServer
        if host.server == LAB_KIND:
            self.server = FtpsServer(spec, root=root, password=PASSWORD, host=address, port=port)
        else:
            self.server = DaemonServer(
                host.server, spec, root=root, password=PASSWORD, users=(USER,), host=address, port=port
            )

    def open(self) -> None:
        """It answers: tell the teacher, of this and of every session from now on."""
        if isinstance(self.server, FtpsServer):
            self.server.recorder = Session(self.server, self._say, self._unseen)
        self._say(f"ready: {self._host.about}")
        self._say_fingerprints()

    def rotate(self) -> None:
        """Another key and another certificate, from the next connection on."""
        self.server.change(self._spec())
        self._say("another certificate from now on:")
        self._say_fingerprints()

    def look(self) -> None:
        """What there is to do from time to time.

        Raises:
            LabError: The server has failed.
        """
        settled = self.server.settle(_LOOK_SECONDS)
        if settled and isinstance(self.server, DaemonServer):
            tell_of_a_daemon(self.server, self._say, self._unseen)

    def _spec(self) -> ServerSpec:
        certificates = issue(self._host.specs)
        for name, certificate in self._host.handed_out.items():
            _put(self._handed_out / name, certificates[certificate].pem)
        leaf = certificates[LEAF]
        if self._host.attack == "none":
            return ServerSpec(certificate=leaf)
        return ServerSpec(certificate=leaf, attack=self._host.attack, attack_certificate=twins({LEAF: leaf})[LEAF])

    def _say_fingerprints(self) -> None:
        """SHA-1, for that is what lftp shows."""
        spec = self.server.spec
        assert spec.certificate is not None
        if spec.attack_certificate is not None:
            self._say("the genuine server's certificate:")
            self._say(spec.certificate.sha1)
            self._say("what clients are shown instead:")
        self._say((spec.attack_certificate or spec.certificate).sha1)


def _put(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise LabError(
            f"cannot write {path}: {error.strerror}; compose.yaml has a folder for it that the host may write to"
        ) from error


def _next(signals: SimpleQueue[int]) -> int | None:
    """The next signal; None after a second without one."""
    with contextlib.suppress(Empty):
        return signals.get(timeout=1)
    return None
