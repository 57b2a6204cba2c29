"""Real daemons: each test runs for every kind whose program is installed; in CI, inside the daemon's container."""

from __future__ import annotations

import ftplib
import hashlib
import io
import os
import signal
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.daemons import ANONYMOUS, DAEMONS, NEEDS, DaemonServer, why_not
from ftps_lab.daemons.inetd import Inetd
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.server.tls import unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftps_lab.testimony import Testimony

PASSWORD = "correct-horse"
OWNER = int(os.environ.get("DAEMONS_OWNER", os.geteuid()))
"""The owner of the served folder; an owner other than ourselves needs CAP_CHOWN."""
SECRET = b"the content of the secret file\n"
LARGE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(5 << 15))  # 5 MiB
ENDLESS = 1 << 32
"""Bytes, more than all of the kernel's buffers on the way to a client hold (tcp_rmem was seen at 32 MiB): no daemon can
finish sending them, and reply 226, while the client does not read. A sparse file on the disk."""


def _missing(kind: str) -> str:
    try:
        DAEMONS[kind].path()
    except LabError as error:
        return str(error)
    return f"{kind} needs root" if NEEDS[kind].user == "root" and os.geteuid() != 0 else ""


@pytest.fixture(params=sorted(DAEMONS))
def kind(request: pytest.FixtureRequest) -> str:
    if reason := _missing(request.param):
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = accessible_folder(tmp_path)
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "large.bin").write_bytes(LARGE)
    (folder / "endless.bin").touch()
    os.truncate(folder / "endless.bin", ENDLESS)
    for path in (folder, *folder.iterdir()):
        os.chown(path, OWNER, OWNER)
    return folder


def accessible_folder(tmp_path: Path) -> Path:
    """A folder below one that other users can enter, as the owner of the harness's folders can."""
    for path in (tmp_path, tmp_path.parent):
        path.chmod(0o755)
    folder = tmp_path / f"root{time.monotonic_ns()}"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(kind: str, root: Path) -> Iterator[Callable[..., DaemonServer]]:
    running: list[DaemonServer] = []

    def start(root: Path = root, **spec: Any) -> DaemonServer:
        spec.setdefault("certificate", certificate())
        server = DaemonServer(
            kind, ServerSpec(**spec), root=root, password=PASSWORD, users=("alice", "bob"), host="127.0.0.1", port=0
        )
        running.append(server.start())
        return server

    yield start
    for server in running:
        server.stop()


def certificate(name: str = "genuine") -> Any:
    return issue({name: CertificateSpec()})[name]


class Client(ftplib.FTP_TLS):
    """ftplib, made to resume the control connection's session on data connections, as lftp does."""

    def __init__(self, server: DaemonServer, version: ssl.TLSVersion | None = None, *, reuse: bool = True) -> None:
        context = unverified.__wrapped__()
        if version is not None:
            context.minimum_version = context.maximum_version = version
        super().__init__(context=context, timeout=15)
        self.reuse = reuse
        self.connect(server.host, server.port)

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:  # type: ignore[attr-defined]
            assert isinstance(self.sock, ssl.SSLSocket)
            conn = self.context.wrap_socket(conn, session=self.sock.session if self.reuse else None)
        return conn, size

    def get(self, name: str) -> bytes:
        received = bytearray()
        self.retrbinary(f"RETR {name}", received.extend)
        return bytes(received)

    def put(self, name: str, content: bytes) -> str:
        return self.storbinary(f"STOR {name}", io.BytesIO(content))

    def listing(self) -> list[str]:
        lines: list[str] = []
        self.retrlines("LIST", lines.append)
        return lines


def login(server: DaemonServer, version: ssl.TLSVersion | None = None, **options: Any) -> Client:
    client = Client(server, version, **options)
    client.login("alice", PASSWORD)
    client.prot_p()
    return client


def settled_testimony(server: DaemonServer) -> Testimony:
    assert server.settle()
    testimony = server.testimony()
    assert testimony.discrepancies == ()
    assert testimony.sources == ("log", "files", "relay")
    assert not server.wire().holds(PASSWORD.encode()) or any(c.channel == "clear" for c in testimony.credentials)
    return testimony


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_tls_session_is_witnessed(serve: Callable[..., DaemonServer], root: Path, version: ssl.TLSVersion) -> None:
    server = serve()
    with login(server, version) as client:
        assert any("secret.txt" in line for line in client.listing())
        assert client.get("secret.txt") == SECRET
        client.put("up.txt", b"what a client sends")
    testimony = settled_testimony(server)
    assert server.spec.certificate is not None
    name = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert [(h.completed, h.version) for h in testimony.handshakes] == [(True, name)] * 4
    assert {h.certificate for h in testimony.handshakes} == {server.spec.certificate.sha256}
    assert [(c.user, c.password, c.channel, c.accepted) for c in testimony.credentials] == [
        ("alice", PASSWORD, "tls", True)
    ]
    assert [c.channel for c in testimony.commands if c.verb in {"AUTH", "USER", "PASS"}] == ["clear", "tls", "tls"]
    assert [c.reply for c in testimony.commands if c.verb in {"AUTH", "USER", "PASS"}] == [234, 331, 230]
    listing, download, upload = testimony.transfers
    assert (listing.verb, listing.completed, listing.channel) == ("LIST", True, "tls")
    assert 0 < listing.size < 1000
    assert (download.verb, download.name, download.size) == ("RETR", "secret.txt", len(SECRET))
    assert download.sha256 == hashlib.sha256(SECRET).hexdigest()
    assert upload.sha256 == hashlib.sha256(b"what a client sends").hexdigest()
    assert {t.completed for t in testimony.transfers} == {True}
    assert all(c.greeted for c in testimony.connections if c.kind == "control")
    assert (root / "up.txt").read_bytes() == b"what a client sends"
    assert (root / "up.txt").stat().st_uid == root.stat().st_uid


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_lost_log_line_is_a_discrepancy_or_changes_nothing(
    serve: Callable[..., DaemonServer], version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that verdicts rest on is covered: logins, transfers, their connections and channels."""

    def rests_on(testimony: Testimony) -> Any:
        handshakes = [(h.connection, h.completed, h.version, h.certificate) for h in testimony.handshakes]
        return testimony.connections, testimony.credentials, testimony.transfers, handshakes

    server = serve()
    with login(server, version) as client:
        client.listing()
        client.get("secret.txt")
        client.put("up.txt", b"what a client sends")
    whole = rests_on(settled_testimony(server))
    assert server._daemon is not None
    lines = server._daemon.lines(server._from)
    noticed = 0
    for number in range(len(lines)):
        monkeypatch.setattr(server._daemon, "lines", lambda _, n=number: lines[:n] + lines[n + 1 :])
        testimony = server.testimony()
        noticed += bool(testimony.discrepancies)
        assert testimony.discrepancies or rests_on(testimony) == whole, lines[number]
    assert noticed >= 6, "nothing was lost: this proves nothing"
    for number in range(len(lines)):
        monkeypatch.setattr(server._daemon, "lines", lambda _, n=number: lines[:n])
        testimony = server.testimony()
        assert testimony.discrepancies or rests_on(testimony) == whole, lines[number]


def test_listing_of_an_empty_folder_has_no_size(serve: Callable[..., DaemonServer], tmp_path: Path) -> None:
    server = serve(accessible_folder(tmp_path))
    with login(server) as client:
        assert [line for line in client.listing() if not line.startswith("total")] == []
    (listing,) = settled_testimony(server).transfers
    assert listing.size <= len("total 0\r\n")


def test_large_download_and_upload_have_their_hash(serve: Callable[..., DaemonServer], root: Path) -> None:
    server = serve()
    with login(server) as client:
        assert client.get("large.bin") == LARGE
        client.put("back.bin", LARGE)
    digest = hashlib.sha256(LARGE).hexdigest()
    assert [(t.size, t.sha256) for t in settled_testimony(server).transfers] == [(len(LARGE), digest)] * 2


def test_rotation_presents_only_the_new_certificate(serve: Callable[..., DaemonServer], kind: str) -> None:
    server = serve()
    for _ in range(3):
        new = certificate()
        began = time.perf_counter()
        server.change(ServerSpec(certificate=new))
        print(f"{kind}: change {1000 * (time.perf_counter() - began):.0f} ms")
        server.record()
        with login(server) as client:
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.getpeercert(binary_form=True) == new.der
            client.get("secret.txt")
        testimony = settled_testimony(server)
        assert {h.certificate for h in testimony.handshakes} == {new.sha256}
        assert len(testimony.connections) == 2


def test_session_keeps_its_certificate_during_rotation(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    old, new = server.spec.certificate, certificate()
    assert old is not None
    client = login(server)
    server.change(ServerSpec(certificate=new))
    with login(server) as other:
        assert isinstance(other.sock, ssl.SSLSocket)
        assert other.sock.getpeercert(binary_form=True) == new.der
        assert client.get("secret.txt") == SECRET
        other.get("secret.txt")
    client.quit()
    testimony = settled_testimony(server)
    assert [t.certificate for t in testimony.transfers] == [old.sha256, new.sha256]


def test_session_started_before_rotation_gets_the_old_certificate(
    serve: Callable[..., DaemonServer], kind: str
) -> None:
    if kind != "proftpd":
        pytest.skip(f"{kind} has its master's configuration")
    server = serve()
    assert server.settle()  # the readiness probe's session is over, so the next child is the right one
    old = server.spec.certificate
    assert old is not None
    with socket.create_connection((server.host, server.port), 5) as sock:
        assert server._process is not None
        until = time.monotonic() + 10
        while not server._process.children():
            assert time.monotonic() < until
            time.sleep(0.0001)
        server.change(ServerSpec(certificate=certificate()))
        assert sock.recv(100).startswith(b"220")
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(100).startswith(b"234")
        with unverified().wrap_socket(sock) as tls:
            assert tls.getpeercert(binary_form=True) == old.der
    (handshake,) = settled_testimony(server).handshakes
    assert handshake.certificate == old.sha256


def test_testimony_survives_stop_until_the_next_start(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    with login(server) as client:
        client.get("secret.txt")
    testimony, wire = settled_testimony(server), server.wire()
    server.stop()
    assert server.testimony() == testimony
    assert server.wire() == wire
    server.start()
    assert server.testimony().connections == ()
    assert server.wire().records == ()


def test_transfer_cut_off_by_stop_is_incomplete(
    serve: Callable[..., DaemonServer],
) -> None:
    server = serve()
    client = login(server)
    conn, _ = client.ntransfercmd("RETR endless.bin")
    conn.recv(1000)
    server.stop()
    assert not any(t.completed for t in server.testimony().transfers)
    assert len(server.testimony().connections) == 2
    assert len(server.wire().records) == 2
    conn.close()
    client.close()


def test_testimony_is_empty_before_the_start(kind: str, root: Path) -> None:
    spec = ServerSpec(certificate=certificate())
    server = DaemonServer(kind, spec, root=root, password=PASSWORD, users=("alice",), host="127.0.0.1", port=0)
    assert server.testimony().connections == ()
    assert server.wire().records == ()


@pytest.mark.parametrize("key", ["ec-p256", "rsa-2048", "ed25519"])
@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_every_kind_of_key_is_served_with_its_chain(
    serve: Callable[..., DaemonServer], key: Any, version: ssl.TLSVersion
) -> None:
    made = issue(
        {
            "root": CertificateSpec(key=key, ca=True),
            "middle": CertificateSpec(key=key, ca=True, issuer="root"),
            "leaf": CertificateSpec(key=key, issuer="middle"),
        }
    )
    server = serve(certificate=made["leaf"], chain=(made["middle"],))
    with login(server, version) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.getpeercert(binary_form=True) == made["leaf"].der
        assert certificates_sent(client.sock) == [made["leaf"].der, made["middle"].der]
        client.get("secret.txt")
    assert {h.certificate for h in settled_testimony(server).handshakes} == {made["leaf"].sha256}


def certificates_sent(sock: ssl.SSLSocket) -> list[bytes]:
    """The certificates that the server sent, in order."""
    found = sock._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public from Python 3.13 on
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found]


def test_wrong_password_is_refused_and_recorded_as_unknown(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    client = Client(server)
    with pytest.raises(ftplib.error_perm, match="530"):
        client.login("alice", "wrong")
    client.close()
    (credential,) = settled_testimony(server).credentials
    assert (credential.user, credential.password, credential.accepted) == ("alice", None, False)


def test_cleartext_login_is_recorded_as_such(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    with ftplib.FTP(timeout=15) as client:
        client.connect(server.host, server.port)
        client.login("alice", PASSWORD)
        received = bytearray()
        client.retrbinary("RETR secret.txt", received.extend)
    testimony = settled_testimony(server)
    assert server.wire().holds(PASSWORD.encode())
    (credential,) = testimony.credentials
    assert (credential.channel, credential.password, credential.accepted) == ("clear", PASSWORD, True)
    (transfer,) = testimony.transfers
    assert (transfer.channel, transfer.certificate, transfer.size) == ("clear", "", len(SECRET))
    assert testimony.handshakes == ()


def test_require_tls_refuses_a_cleartext_login(serve: Callable[..., DaemonServer]) -> None:
    server = serve(require_tls=True)
    with ftplib.FTP(timeout=15) as client:
        client.connect(server.host, server.port)
        with pytest.raises((ftplib.error_perm, ftplib.error_temp)):
            client.login("alice", PASSWORD)
    assert not settled_testimony(server).logged_in
    server.record()
    with login(server) as client:
        client.get("secret.txt")
    assert settled_testimony(server).logged_in


@pytest.mark.parametrize("offered", [("1.2",), ("1.3",)])
def test_undeclared_tls_version_is_refused(serve: Callable[..., DaemonServer], offered: tuple[str, ...]) -> None:
    server = serve(tls=offered)
    other = VERSIONS[0 if offered == ("1.3",) else 1]
    client = Client(server, other)
    with pytest.raises(ssl.SSLError):
        client.auth()
    client.close()
    (handshake,) = settled_testimony(server).handshakes
    assert not handshake.completed


def test_every_allowed_set_of_tls_versions_is_offered_exactly(serve: Callable[..., DaemonServer], kind: str) -> None:
    """Every combination that `why_not` allows works, including old versions and gaps."""
    every = {
        "1.0": ssl.TLSVersion.TLSv1,
        "1.1": ssl.TLSVersion.TLSv1_1,
        "1.2": ssl.TLSVersion.TLSv1_2,
        "1.3": ssl.TLSVersion.TLSv1_3,
    }
    for offered in [("1.0",), ("1.1",), ("1.1", "1.3"), ("1.0", "1.2"), ("1.2", "1.3"), tuple(every)]:
        if why_not(kind, ServerSpec(certificate=certificate(), tls=offered)):
            continue
        server = serve(tls=offered)
        worked = []
        for name, version in every.items():
            client = Client(server, version)
            try:
                client.auth()
                worked.append(name)
            except (ssl.SSLError, OSError):
                pass
            client.close()
        assert tuple(worked) == offered
        server.stop()


def test_plain_server_refuses_auth(serve: Callable[..., DaemonServer]) -> None:
    server = serve(protocol="plain", certificate=None)
    with ftplib.FTP_TLS(timeout=15) as client:
        client.connect(server.host, server.port)
        with pytest.raises(ftplib.error_perm):
            client.auth()
        ftplib.FTP.login(client, "alice", PASSWORD)
        assert client.nlst()
    testimony = settled_testimony(server)
    assert [c.channel for c in testimony.credentials] == ["clear"]
    assert any(c.verb == "AUTH" and c.reply is not None and c.reply >= 500 for c in testimony.commands)


def test_implicit_tls_session_is_witnessed(serve: Callable[..., DaemonServer], kind: str) -> None:
    if reason := why_not(kind, ServerSpec(protocol="implicit", certificate=certificate())):
        pytest.skip(reason)
    server = serve(protocol="implicit")
    raw = socket.create_connection((server.host, server.port), 5)
    with unverified().wrap_socket(raw) as tls:
        assert tls.recv(100).startswith(b"220")
        tls.sendall(f"USER alice\r\nPASS {PASSWORD}\r\n".encode())
        assert tls.recv(100).startswith(b"331")
        assert tls.recv(100).startswith(b"230")
        tls.sendall(b"QUIT\r\n")
        assert tls.recv(100).startswith(b"221")
    testimony = settled_testimony(server)
    assert testimony.connections[0].greeted
    assert [(c.channel, c.accepted) for c in testimony.credentials] == [("tls", True)]


def test_anonymous_login_is_witnessed(serve: Callable[..., DaemonServer], kind: str) -> None:
    if kind not in ANONYMOUS:
        pytest.skip(f"{kind} lets no anonymous user in here")
    server = serve()
    with ftplib.FTP(timeout=15) as client:
        client.connect(server.host, server.port)
        client.login("anonymous", "somebody@example.com")
        assert any("secret.txt" in name for name in client.nlst())
        client.storbinary("STOR anonymous.txt", io.BytesIO(b"abc"))
    testimony = settled_testimony(server)
    (credential,) = testimony.credentials
    assert (credential.user, credential.password, credential.accepted) == ("anonymous", None, True)
    assert testimony.transfers[-1].sha256 == hashlib.sha256(b"abc").hexdigest()


def test_only_vsftpd_reuse_requires_session_reuse(serve: Callable[..., DaemonServer], kind: str) -> None:
    server = serve()
    client = login(server, reuse=False)
    if kind == "vsftpd-reuse":
        with pytest.raises((ftplib.Error, OSError, EOFError)):
            client.get("secret.txt")
    else:
        assert client.get("secret.txt") == SECRET
    client.close()
    assert server.settle()
    testimony = server.testimony()
    assert testimony.discrepancies == ()
    assert [t.completed for t in testimony.transfers] == [kind != "vsftpd-reuse"]


def test_download_reset_by_client_is_incomplete(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    client = login(server)
    conn, _ = client.ntransfercmd("RETR endless.bin")
    conn.recv(1000)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()
    client.close()
    testimony = settled_testimony(server)
    assert [t.completed for t in testimony.transfers] == [False]


def test_download_ended_by_abor_is_incomplete(serve: Callable[..., DaemonServer]) -> None:
    """Although a 226 comes, in reply to the ABOR."""
    server = serve()
    client = login(server)
    conn, _ = client.ntransfercmd("RETR endless.bin")
    conn.recv(1000)
    assert client.sock is not None
    client.sock.sendall(b"ABOR\r\n")
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()
    client.close()
    assert [t.completed for t in settled_testimony(server).transfers] == [False]


def test_client_that_leaves_after_pass_causes_no_discrepancy(serve: Callable[..., DaemonServer]) -> None:
    """The daemon may or may not read the password, and may or may not answer: its log says what it did."""
    server = serve()
    for _ in range(10):
        client = Client(server)
        client.auth()
        client.sendcmd("USER alice")
        assert client.sock is not None
        client.sock.sendall(f"PASS {PASSWORD}\r\n".encode())
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert len(settled_testimony(server).connections) == 10


def test_session_that_bypassed_the_relay_is_a_discrepancy(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    with socket.create_connection(server._inner, 5, source_address=("127.9.9.9", 0)) as sock:
        assert sock.recv(100).startswith(b"220")
        sock.sendall(b"QUIT\r\n")
        while sock.recv(100):
            pass
    assert server.settle()
    (sentence,) = server.testimony().discrepancies
    assert "session from 127.9.9.9 that the relay did not record" in sentence


def test_connections_closed_at_once_are_witnessed(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    for _ in range(3):
        socket.create_connection((server.host, server.port), 5).close()
    Client(server).close()
    testimony = settled_testimony(server)
    assert [c.kind for c in testimony.connections] == ["control"] * 4
    assert testimony.connections[3].greeted


def test_concurrent_sessions_are_kept_apart(serve: Callable[..., DaemonServer], root: Path) -> None:
    server = serve()
    clients = [login(server) for _ in range(6)]
    for number, client in enumerate(clients):
        client.put(f"file{number}", b"x" * (number + 1))
    for client in clients:
        client.quit()
    testimony = settled_testimony(server)
    by_control = {t.control: (t.name, t.size) for t in testimony.transfers}
    assert list(by_control.values()) == [(f"file{n}", n + 1) for n in range(6)]


def test_killed_daemon_is_an_error(serve: Callable[..., DaemonServer]) -> None:
    server = serve()
    assert server.settle()  # the readiness probe's session is over, so it is not the one that gets killed
    process = server._process
    if isinstance(process, Inetd):  # the daemon consists only of its sessions
        with Client(server):
            (session,) = process.children()
            os.kill(session, signal.SIGKILL)
            process._sessions[0].wait()
    else:
        assert process is not None
        os.kill(process._process.pid, signal.SIGKILL)
        process._process.wait()
    with pytest.raises(LabError, match="has died"):
        server.settle()
    with pytest.raises(LabError, match="has died"):
        server.change(server.spec)


def test_stop_removes_folder_and_processes(serve: Callable[..., DaemonServer], kind: str) -> None:
    began = time.perf_counter()
    server = serve()
    started = time.perf_counter()
    folder, process = server._folder, server._process
    client = login(server)
    logged_in = time.perf_counter()
    assert folder is not None
    assert folder.path.stat().st_mode & 0o777 == 0o700
    server.stop()
    server.stop()
    stopped = time.perf_counter()
    client.close()
    assert not folder.path.exists()
    assert process is not None
    assert not process.alive
    assert process.children() == []
    times = (started - began, logged_in - started, stopped - logged_in)
    print(f"{kind}: start, login, stop", *(f"{1000 * t:.0f} ms" for t in times))
