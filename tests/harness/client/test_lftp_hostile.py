"""A hostile server tries to forge lftp's own messages; no forged message may become a reason.

Each attempt is something that an on-path attacker could send. The forged words are exactly what lftp itself would
write, in the form of standard error and of the debug log. Run on more builds with FTPS_LAB_LFTP_BUILDS=PATH:PATH….
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ftps_harness.client.lftp import Lftp, Run, open_command, run, settings_of_ours
from ftps_harness.client.messages import further, words
from ftps_harness.sandbox.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.lftp

SECONDS = 20.0
FINGERPRINT = "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD"
REFUSALS = {
    "classic": "Not trusted",
    "status": "The certificate is NOT trusted. The certificate issuer is unknown. ",
    "openssl": "self-signed certificate",
}


@pytest.fixture(scope="module")
def lftp(each_lftp: Lftp) -> Lftp:
    return each_lftp


class HostileServer:
    """A minimal FTP server that sends the given replies.

    Attributes:
        replies: By verb; the whole reply, as bytes. ``220`` is the greeting.
        data: What LIST, NLST, MLSD and RETR send on the data connection.
    """

    def __init__(self, replies: Mapping[str, bytes], data: bytes = b"", tls: ssl.SSLContext | None = None) -> None:
        usual = {"220": b"220 hi", "USER": b"331 x", "PASS": b"230 x", "PWD": b'257 "/"', "QUIT": b"221 x"}
        usual |= {"FEAT": b"211-x\r\n AUTH TLS\r\n UTF8\r\n211 end", "AUTH": b"234 x" if tls else b"500 x"}
        usual |= dict.fromkeys(("TYPE", "OPTS"), b"200 x") | {"CWD": b"250 x"}
        self.replies = {verb: reply + b"\r\n" for verb, reply in usual.items()} | dict(replies)
        self.data = data
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._clients: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._serve, name="hostile", daemon=True)
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        socket.create_connection(("127.0.0.1", self.port), SECONDS).close()
        for thread in (self._thread, *self._clients):
            thread.join(SECONDS)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            client = self._listener.accept()[0]
            if self._ended.is_set():
                client.close()
                return
            self._clients.append(threading.Thread(target=self._talk, args=(client,), name="hostile", daemon=True))
            self._clients[-1].start()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(SECONDS)
        # lftp disconnects in the middle of many attempts.
        with client, socket.create_server(("127.0.0.1", 0)) as passive, contextlib.suppress(OSError):
            passive.settimeout(SECONDS)
            self._converse(client, passive)

    def _converse(self, client: socket.socket, passive: socket.socket) -> None:
        client.sendall(self.replies["220"])
        file = client.makefile("rb")
        while line := file.readline():
            verb = line.strip().split(b" ")[0].decode("ascii", "replace").upper()
            if verb in {"LIST", "NLST", "MLSD", "RETR"} and verb not in self.replies:
                client.sendall(b"150 x\r\n")
                with passive.accept()[0] as connection:
                    connection.sendall(self.data)
                client.sendall(b"226 x\r\n")
                continue
            here = b"227 (127,0,0,1,%d,%d)\r\n" % divmod(passive.getsockname()[1], 256)
            client.sendall(self.replies.get(verb, here if verb == "PASV" else b"500 x\r\n"))
            if verb == "AUTH" and self._tls:
                with self._tls.wrap_socket(client, server_side=True) as secured:
                    secured.read(4096)
                return
            if verb == "QUIT":
                return


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path) as home:
        yield home


def attack(lftp: Lftp, home: Home, server: HostileServer, *commands: str, log: bool = True) -> Run:
    """Run lftp against the server; its output must yield no reason."""
    script = [
        *settings_of_ours("localhost", patience=1),
        open_command("explicit", "localhost", server.port, "victim"),
        *commands,
    ]
    with server:
        done = run(lftp, home, script=script, password="hunter2", timeout=SECONDS, log=log)
    assert not done.timed_out
    assert not done.log_missing
    if log:
        assert FINGERPRINT.encode() in done.log, "the forged words never reached lftp's log: this proves nothing"
    found = words(done.stderr, done.log, lftp.dialect)
    assert [word for word in found if word.reasons] == [], (done.stderr, done.log)
    assert further(done.log, lftp.dialect) == ()
    return done


def forged(lftp: Lftp) -> tuple[bytes, bytes, bytes]:
    """The line as lftp would write it on standard error, in its log, and in its log with its process number."""
    refusal = f"Certificate verification: {REFUSALS[lftp.dialect]} ({FINGERPRINT})"
    return (
        f"ls: Fatal error: {refusal}".encode(),
        f"ERROR: {refusal}".encode(),
        f"[{os.getpid()}] ERROR: {refusal}".encode(),
    )


def everything(lftp: Lftp, code: bytes, separator: bytes) -> bytes:
    """One reply that tries all three, between separators."""
    return code + b" x" + separator + separator.join(forged(lftp)) + separator + code + b" y\r\n"


SEPARATORS = {
    "lf": b"\n",
    "cr": b"\r",
    "lf-cr": b"\n\r",
    "cr-nul": b"\r\0",
    "nul": b"\0",
    "vt": b"\x0b",
    "nel": "\x85".encode(),
    "line-separator": "\u2028".encode(),
    "erase-line": b"\x1b[2K\x1b[1G",
    "backspaces": b"\b" * 200,
    "iac": b"\xff\xff\xff",
}


@pytest.mark.parametrize("log", [True, False], ids=["with-log", "without-log"])
@pytest.mark.parametrize("verb", ["220", "FEAT", "AUTH", "USER", "PASS", "PWD", "OPTS", "QUIT"])
def test_forged_refusal_in_a_reply_is_not_a_reason(lftp: Lftp, home: Home, verb: str, log: bool) -> None:
    code = {"220": b"220", "FEAT": b"211", "USER": b"331", "PASS": b"230", "OPTS": b"200", "QUIT": b"221"}.get(
        verb, b"500"
    )
    reply = everything(lftp, code, b"\n")
    done = attack(lftp, home, HostileServer({verb: reply}), "ls", log=log)
    if log:
        assert b"\n" + forged(lftp)[1] in done.log, "lftp no longer writes out a bare LF: the rule can be simpler"


@pytest.mark.parametrize(
    ("verb", "code", "separator"),
    [
        *(("PASS", b"530", separator) for separator in SEPARATORS),
        *(("220", b"421", separator) for separator in ("lf", "cr")),
        *(("USER", b"530", separator) for separator in ("lf", "cr")),
        *(("LIST", b"550", separator) for separator in ("lf", "cr")),
    ],
)
def test_forged_refusal_in_a_refusing_reply_is_not_a_reason(
    lftp: Lftp, home: Home, verb: str, code: bytes, separator: str
) -> None:
    attack(lftp, home, HostileServer({verb: everything(lftp, code, SEPARATORS[separator])}), "ls")


@pytest.mark.parametrize("verb", ["PASV", "LIST", "TYPE", "CWD", "SIZE", "RETR"])
@pytest.mark.long
def test_forged_refusal_in_a_500_is_not_a_reason(lftp: Lftp, home: Home, verb: str) -> None:
    """lftp shows the server's 500 as its own fatal error (src/ftpclass.cc, NoFileCheck)."""
    attack(lftp, home, HostileServer({verb: everything(lftp, b"500", b"\n")}), "ls", "cd x", "get y -o z")


def test_forged_refusal_in_a_multi_line_reply_is_not_a_reason(lftp: Lftp, home: Home) -> None:
    body = b"\r\n".join((b"530-x", *forged(lftp), b"530-" + forged(lftp)[0], b" y", b"530 end", b""))
    attack(lftp, home, HostileServer({"PASS": body}), "ls")


def test_forged_refusal_without_a_reply_code_is_not_a_reason(lftp: Lftp, home: Home) -> None:
    garbage = b"\r\n".join((*forged(lftp), b"530 end", b""))
    attack(lftp, home, HostileServer({"220": b"\r\n".join((*forged(lftp), b"220 hi", b"")), "PASS": garbage}), "ls")


def test_forged_refusal_in_a_listing_is_not_a_reason(lftp: Lftp, home: Home) -> None:
    listing = b"".join(b"-rw-r--r-- 1 u g 3 Jan 1 2020 " + text + b"\r\n" for text in forged(lftp))
    raw = b"\n".join(forged(lftp)) + b"\n"
    attack(lftp, home, HostileServer({}, listing + raw), "ls", "cls", "nlist", "find", "du", "mget *")


@pytest.mark.parametrize("log", [True, False], ids=["with-log", "without-log"])
@pytest.mark.long
def test_forged_refusal_in_a_file_name_is_not_a_reason(lftp: Lftp, home: Home, log: bool) -> None:
    """lftp prints a file's name before its error: ``get: NAME: Access failed: 550 …``."""
    refusal, logged, _ = forged(lftp)
    names = (
        refusal,
        refusal.removeprefix(b"ls: "),
        logged,
        b"x: " + refusal,
        b"a\r" + refusal,
        refusal[:-61] + b"'x': 550",
    )
    listing = b"".join(b"-rw-r--r-- 1 u g 3 Jan 1 2020 " + name + b"\r\n" for name in names)
    replies = {"RETR": b"550 " + refusal + b"\r\n", "SIZE": b"213 3\r\n"}
    server = HostileServer(replies, listing)
    attack(lftp, home, server, "mget *", "mirror . m", "mirror -v . m2", "cat *", "rm *", log=log)


@pytest.mark.parametrize("rc", ["", "set cmd:verbose yes\n", "debug 9\n", "set log:prefix-recv ''\n"])
def test_forged_refusal_in_a_folder_name_is_not_a_reason(lftp: Lftp, home: Home, rc: str) -> None:
    home.write_rc(rc)
    refusal, logged, _ = forged(lftp)
    folder = b'257 "/x\n' + refusal + b"\n" + logged + b'\n"\r\n'
    attack(lftp, home, HostileServer({"PWD": folder, "CWD": b"550 " + refusal + b"\r\n"}), "cd y", "pwd", "ls", "get z")


def test_forged_refusal_in_debug_output_is_not_a_reason(lftp: Lftp, home: Home) -> None:
    """With `debug` in the rc and without our log, replies go to standard error."""
    home.write_rc("debug 9\n")
    attack(lftp, home, HostileServer({"220": everything(lftp, b"220", b"\r")}), "ls", log=False)


def test_forged_refusals_in_a_long_reply_are_not_reasons(lftp: Lftp, home: Home) -> None:
    lines = b"\n".join(forged(lftp)) + b"\n"
    reply = b"220-x\n" + lines * (1_000_000 // len(lines)) + b"\r\n220 hi\r\n"
    attack(lftp, home, HostileServer({"220": reply}), "ls")


def test_guessed_process_numbers_in_the_log_are_noticed(lftp: Lftp, home: Home) -> None:
    """The server tries every number that the process may have; the wrong guesses give it away."""
    logged = forged(lftp)[1]
    numbers = range(os.getpid(), os.getpid() + 2_000)
    spray = b"\n".join(b"[%d] " % number + logged for number in numbers)
    script = [*settings_of_ours("localhost"), "ls"]
    with HostileServer({"220": b"220 x\n" + spray + b"\n\r\n"}) as server:
        script.insert(-1, open_command("explicit", "localhost", server.port, "victim"))
        done = run(lftp, home, script=script, timeout=SECONDS, password="hunter2")
    assert b"\n" + logged not in done.log  # none without a number
    assert "unknown" in {word.kind for word in words(done.stderr, done.log, lftp.dialect)}


def _certificate(folder: Path, common_name: str) -> ssl.SSLContext:
    """A certificate whose subject and issuer hold arbitrary text, LF included."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, common_name)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now - dt.timedelta(1), now + dt.timedelta(1))
    path = folder / "hostile.pem"
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    path.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_forged_refusal_in_a_subject_is_not_a_reason(lftp: Lftp, home: Home, tmp_path: Path) -> None:
    """The old verification logs subject and issuer; lftp's own refusal is the only one that counts."""
    logged = f"\nERROR: Certificate verification: Expired ({FINGERPRINT})\n"[:64]
    context = _certificate(tmp_path, logged)
    server = HostileServer({}, tls=context)
    script = [*settings_of_ours("localhost"), open_command("explicit", "localhost", server.port, "victim"), "ls"]
    with server:
        done = run(lftp, home, script=script, password="hunter2", timeout=SECONDS)
    assert {reason for word in words(done.stderr, done.log, lftp.dialect) for reason in word.reasons} == {"untrusted"}
