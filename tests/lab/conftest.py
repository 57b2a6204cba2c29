"""Fixtures for the lab's tests: certificates, files to serve, servers that always end, and clients other than lftp."""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import io
import os
import select
import shutil
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.lab.scripted.serving import Scripted
from tests.lab.sessions import HELLO
from tests.waiting import until

from ftps_lab.attackers import ATTACKS
from ftps_lab.attackers.downgrade import FORGED
from ftps_lab.certificates import Certificate, CertificateSpec, issue
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer
from ftps_lab.wire.tap import TappedSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftps_lab.testimony import Testimony

Mode = Literal["pasv", "epsv", "port", "eprt"]
Address = tuple[str, int]

PASSWORD = "correct horse"
PATIENCE = 20.0
"""Seconds after which a client in these tests gives up: nothing here may hang."""

IN_CLEAR = {name for name, attack in ATTACKS.items() if not attack.shows_certificate}
"""Attacks that stop a client that insists on TLS."""

CONTENTS = {
    "empty": b"",
    "three": b"abc",
    "chunk": bytes(range(256)) * 256,  # 64 KiB
    "large": b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(5 << 15)),  # 5 MiB
}


class Client(ftplib.FTP_TLS):
    """ftplib's client, which verifies the server: on 127.0.0.1 and under the name localhost.

    Attributes:
        mode: How data connections are opened.
        relays: If given, all connections go through these relays, the independent witnesses.
    """

    mode: Mode = "pasv"
    relays: Relays | None = None

    def reach(self, server: FtpsServer) -> None:
        """Connect; with an implicit server, start TLS first."""
        address = (server.host, server.port)
        if self.relays is not None:
            address = self.relays.to(address)
        if server.spec.protocol != "implicit":
            self.connect(*address)
            self.host = "localhost"
            return
        self.host = "localhost"
        raw = socket.create_connection(address, PATIENCE)
        self.sock = self.context.wrap_socket(raw, server_hostname=self.host)
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    def makepasv(self) -> Address:
        """Send PASV, or EPSV even over IPv4."""
        assert self.sock is not None
        if self.mode == "epsv":
            address = ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())
        else:
            address = super().makepasv()
        return address if self.relays is None else self.relays.to(address)

    def makeport(self) -> socket.socket:
        """Send PORT, or EPRT even over IPv4; ftplib accepts on the returned socket."""
        assert self.sock is not None
        listener = socket.create_server((self.sock.getsockname()[0], 0), family=self.af)
        listener.settimeout(PATIENCE)
        host, port = listener.getsockname()[:2]
        if self.relays is not None:
            host, port = self.relays.to((host, port), active=True)
        try:
            self.sendeprt(host, port) if self.mode == "eprt" else self.sendport(host, port)
        except BaseException:
            listener.close()
            raise
        return listener

    def get(self, name: str) -> bytes:
        """Download a file."""
        return self.download(f"RETR {name}")

    def download(self, command: str) -> bytes:
        """The bytes on the data connection after RETR, LIST, NLST or MLSD."""
        received = bytearray()
        self.retrbinary(command, received.extend)
        return bytes(received)

    def put(self, name: str, content: bytes) -> str:
        """Upload a file and return the reply."""
        return self.storbinary(f"STOR {name}", io.BytesIO(content))

    def data(self, command: str) -> socket.socket:
        """A passive data connection without TLS, after the command's 1xx reply."""
        sock = socket.create_connection(self.makepasv(), PATIENCE)
        try:
            assert self.sendcmd(command).startswith("1")
        except BaseException:
            sock.close()
            raise
        return sock


class Relays:
    """Relays that record what passes: a witness that knows nothing about the lab.

    `seen` holds for each connection, in order, the address that the server sees as its peer, the bytes to the server
    and the bytes from it.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[Address, bytearray, bytearray]] = []
        self._threads: list[threading.Thread] = []

    def to(self, target: Address, *, active: bool = False) -> Address:
        """A relay for one connection to this address; the server opens `active` ones."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(PATIENCE)
        address: Address = listener.getsockname()
        thread = threading.Thread(target=self._relay, args=(listener, address, target, active))
        thread.start()
        self._threads.append(thread)
        return address

    def wait(self) -> None:
        """Wait until every relay has ended."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _relay(self, listener: socket.socket, address: Address, target: Address, active: bool) -> None:
        with listener, contextlib.suppress(TimeoutError):
            near, _ = listener.accept()
            with near, socket.create_connection(target, PATIENCE) as far:
                client, server = (far, near) if active else (near, far)
                to_server, to_client = bytearray(), bytearray()
                self.seen.append((address if active else far.getsockname(), to_server, to_client))
                pump({client: (server, to_server), server: (client, to_client)})


def pump(ways: dict[socket.socket, tuple[socket.socket, bytearray]]) -> None:
    """Copy both ways until both ends have closed, recording what was read."""
    while ways:
        ready, _, _ = select.select(list(ways), [], [], PATIENCE)
        if not ready:
            return
        for source in ready:
            sink, record = ways[source]
            try:
                data = source.recv(65536)
                record += data
                if data:
                    sink.sendall(data)
                else:
                    sink.shutdown(socket.SHUT_WR)
            except OSError:
                data = b""
            if not data:
                del ways[source]


class Lab:
    """Makes servers and clients for one test, and ends them."""

    password = PASSWORD
    contents = CONTENTS

    def __init__(self, root: Path, certificates: dict[str, Certificate], stack: contextlib.ExitStack) -> None:
        self.root = root
        self.certificates = certificates
        self._stack = stack
        self._servers: list[FtpsServer] = []

    def build(self, protocol: str = "explicit", certificate: str = "genuine", **more: Any) -> FtpsServer:
        """A server that is not started; `more` are keys of `ServerSpec`."""
        return FtpsServer(self.spec(protocol, certificate, **more), root=self.root, password=PASSWORD)

    def spec(self, protocol: str = "explicit", certificate: str = "genuine", **more: Any) -> ServerSpec:
        """The definition of a server."""
        kwargs: dict[str, Any] = {"protocol": protocol, **more}
        if protocol != "plain":
            kwargs["certificate"] = self.certificates[certificate]
        return ServerSpec(**kwargs)

    def serve(self, protocol: str = "explicit", certificate: str = "genuine", **more: Any) -> FtpsServer:
        """A running server."""
        server = self.build(protocol, certificate, **more)
        self._stack.callback(server.stop)
        self._servers.append(server)
        return server.start()

    def trusting(self, *names: str, version: str = "", verify: bool = True) -> ssl.SSLContext:
        """A client's context that trusts only these certificates; without `verify` it accepts any."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for name in names:
            context.load_verify_locations(cadata=self.certificates[name].pem.decode())
        if version:
            exactly = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
            context.minimum_version = context.maximum_version = exactly
        return context

    def client(
        self,
        server: FtpsServer,
        *,
        trust: tuple[str, ...] | None = ("genuine",),
        mode: Mode = "pasv",
        version: str = "",
        relays: Relays | None = None,
    ) -> Client:
        """A connected client, not logged in; closed with the test. Without `trust` it accepts any certificate."""
        context = self.trusting(*trust or (), version=version, verify=trust is not None)
        client = Client(context=context, timeout=PATIENCE)
        self._stack.callback(client.close)
        client.mode = mode
        client.relays = relays
        client.set_pasv(mode in {"pasv", "epsv"})
        client.reach(server)
        return client

    def login(
        self, server: FtpsServer, *, user: str = "anna", password: str = PASSWORD, protect: bool = True, **more: Any
    ) -> Client:
        """A logged-in client, in TLS and with PROT P if the server has them."""
        client = self.client(server, **more)
        client.login(user, password, secure=server.spec.protocol != "plain")
        if protect and server.spec.protocol != "plain":
            client.prot_p()
        return client

    def victim(self, server: FtpsServer, **more: Any) -> Client:
        """A client that verifies nothing and accepts any downgrade, logged in as far as the attack allows."""
        secure = server.spec.protocol != "plain" and server.spec.attack not in IN_CLEAR
        client = self.client(server, trust=None, **more)
        client.login("anna", PASSWORD, secure=secure)
        if secure:
            client.sendcmd("PBSZ 0")
            with contextlib.suppress(ftplib.Error):
                client.sendcmd("PROT P")
                client._prot_p = server.spec.attack != "clear-data"  # type: ignore[attr-defined]  # as prot_p() does
        return client

    def prove_served(self, server: FtpsServer) -> None:
        """Check that a client that verifies nothing gets what the server, or the attacker in front of it, serves."""
        client = self.victim(server)
        if server.spec.attack == "clear-data":
            with client.data("RETR three") as data:
                data.sendall(HELLO)
                assert data.recv(len(FORGED), socket.MSG_WAITALL) == FORGED  # a client that reads on waits a second
            assert client.voidresp().startswith("226")
        else:
            assert client.get("three") == CONTENTS["three"]
        client.quit()
        client.close()

    def connect(self, server: FtpsServer, *, receive: bytes = b"220") -> socket.socket:
        """A bare connection that has read bytes starting with `receive`; closed with the test."""
        sock = self._stack.enter_context(socket.create_connection((server.host, server.port), PATIENCE))
        if receive:
            assert sock.recv(512).startswith(receive)
        return sock

    def relays(self) -> Relays:
        """Independent witnesses."""
        return Relays()

    @staticmethod
    def testimony(server: FtpsServer) -> Testimony:
        """The complete testimony."""
        assert server.settle(PATIENCE)
        return server.testimony()

    def testimonies(self, server: FtpsServer) -> tuple[Testimony, Testimony]:
        """The testimony of an attacker in the middle, and of the genuine server behind it."""
        testimony = self.testimony(server)
        assert testimony.behind is not None
        return testimony, testimony.behind

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        """Wait until the condition holds; fail the test if it does not."""
        until(condition, PATIENCE, 0.001)

    @staticmethod
    @contextlib.contextmanager
    def blocked(server: FtpsServer) -> Iterator[None]:
        """Block the server's event loop until the end of this block."""
        both = threading.Barrier(2, timeout=PATIENCE)
        server.waker.call(lambda: (both.wait(), both.wait()))
        both.wait()
        yield
        both.wait()

    def open_files(self) -> int:
        """The number of open file descriptors of this process, once no thread is closing any.

        The test's clients must have disconnected: a server that has not noticed yet still holds its connection open.
        """
        for server in self._servers:
            assert server.settle(PATIENCE), "a client is still there"
        counts: list[int] = []
        while len(counts) < 3 or len(set(counts[-3:])) > 1:
            counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - Path.iterdir would open another
            assert len(counts) < 500
            time.sleep(0.005)
        return counts[-1]

    @staticmethod
    def close_with_reset(sock: socket.socket) -> None:
        """Close with a reset, as the kernel does for a killed client that had not read everything."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def prove_alive(self, server: FtpsServer) -> None:
        """Check that a client is served."""
        client = self.login(server)
        assert client.get("three") == CONTENTS["three"]
        client.quit()


@pytest.fixture
def small_send_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give servers the smallest send buffers, so that bytes wait there for slow readers."""
    prepare = TappedSocket.acknowledge_at_once

    def choke(sock: TappedSocket) -> None:
        prepare(sock)
        with contextlib.suppress(OSError):  # closed
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)

    monkeypatch.setattr(TappedSocket, "acknowledge_at_once", choke)


@pytest.fixture(scope="session")
def certificates() -> dict[str, Certificate]:
    """Certificates by name: two unrelated ones, and a leaf below an intermediate below a root."""
    return issue(
        {
            "genuine": CertificateSpec(),
            "other": CertificateSpec(),
            "data": CertificateSpec(),
            "root": CertificateSpec(common_name="Root", names=()),
            "intermediate": CertificateSpec(
                issuer="root", common_name="Intermediate", names=(), ca=True, key_usage=("keyCertSign",), usage="absent"
            ),
            "leaf": CertificateSpec(issuer="intermediate"),
        }
    )


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of several sizes."""
    folder = tmp_path_factory.mktemp("contents")
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def root(contents: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder to serve, with files of several sizes; removed after the test because pytest keeps its folders."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name in CONTENTS:
        (folder / name).hardlink_to(contents / name) if name == "large" else shutil.copy(contents / name, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def lab(root: Path, certificates: dict[str, Certificate]) -> Iterator[Lab]:
    """Servers and clients for one test, all ended after it."""
    with contextlib.ExitStack() as stack:
        yield Lab(root, certificates, stack)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ftps-lab")] == []


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """Scripted servers for one test, all ended after it, with no thread left."""
    with contextlib.ExitStack() as stack:
        yield Scripted(stack)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ftps-lab:scripted")] == []
