"""Records what real lftp builds print, for machines that do not have them.

    python tests/recordings/record.py LFTP…

writes ``lftp-<version>-<TLS library>.json`` beside this file for each build; an existing file of that name is replaced.
Each case of `cases.toml` is one run of lftp in a sealed HOME against the lab's own server, or a listener of a few lines
for what no FTP server does. What changes from run to run (ports, paths, process number, fingerprints, secrets) is
replaced by something that does not, so that recording again shows in the diff what lftp says differently.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import hashlib
import json
import os
import platform
import re
import socket
import sys
import tempfile
import threading
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from ftps_harness.client.lftp import Lftp, Run, find, identify, open_command, run, settings_of_ours
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.secrets import Secrets
from ftps_lab.certificates import Certificate, CertificateSpec, issue
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ftps_harness.words import Folder

SECONDS = 20.0
HOST = "localhost"
PIN = 'set ssl:ca-file "~/.lftp/pin.crt"\n'
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC).timestamp()
HERE = Path(__file__).parent

_FEATURE = re.compile(r"\[1\] <---  ")
"""Each feature that the server answers FEAT with is left out: the same dozen lines in every case."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run of lftp: a table of `cases.toml`, which says what its keys mean."""

    what: str
    says: str | dict[str, str]
    certificates: dict[str, dict[str, Any]] = field(default_factory=dict)
    rc: str | None = None
    pins: Sequence[str] = ()
    chain: Sequence[str] = ()
    data: str = ""
    protocol: Literal["explicit", "implicit", "plain"] = "explicit"
    cwd: Folder = "home"
    password: str | None = None
    commands: Sequence[str] = ("ls", "get FILE -o DOWNLOADS/FILE")
    listener: str | None = None
    sha1_closure: bool = False
    revoked: bool = False

    def specs(self) -> dict[str, CertificateSpec]:
        """What the certificates say."""
        frozen: dict[str, dict[str, Any]] = {
            name: {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
            for name, said in self.certificates.items()
        }
        return {name: CertificateSpec(**said) for name, said in frozen.items()}


CASES = {name: Case(**table) for name, table in tomllib.loads((HERE / "cases.toml").read_text("utf-8")).items()}


def record(lftp: Lftp, name: str) -> dict[str, Any]:
    """Run one case and write down what lftp said."""
    case = CASES[name]
    secrets = Secrets.new()
    certificates = issue(case.specs())
    with tempfile.TemporaryDirectory(prefix="ftps-lab-") as root, Home() as home:
        served = Path(root) / secrets.file_name
        served.write_bytes(secrets.content)
        os.utime(served, (LONG_AGO, LONG_AGO))
        home.put_upload(secrets.upload_name, secrets.upload_content)
        with _server(case, certificates, Path(root), secrets) as port:
            rc = _prepare(case, certificates, home)
            steady = _steady(home, port, secrets, certificates)
            commands = [
                re.sub("DOWNLOADS|UPLOADS|UPLOAD|FILE", lambda word: _names(home, secrets)[word[0]], command)
                for command in case.commands
            ]
            script = [
                *settings_of_ours(HOST),
                open_command(case.protocol, HOST, port, secrets.user),
                *commands,
            ]
            password = case.password or secrets.password
            done = run(lftp, home, script=script, password=password, timeout=SECONDS, cwd=case.cwd)
    return {"case": name, "what": case.what, "rc": steady(rc.encode())} | _said(done, steady)


def _said(done: Run, steady: Callable[[bytes], str]) -> dict[str, Any]:
    return {
        "command": ["lftp", "-c", *steady(done.argv[-1].encode()).split("\n")],
        "exit_code": done.exit_code,
        "signal": done.signal,
        "timed_out": done.timed_out,
        "stdout": steady(done.stdout),
        "stderr": steady(done.stderr),
        "log": [line for line in steady(done.log).removesuffix("\n").split("\n") if not _FEATURE.match(line)],
    }


def _names(home: Home, secrets: Secrets) -> dict[str, str]:
    return {
        "DOWNLOADS": str(home.downloads),
        "UPLOADS": str(home.uploads),
        "UPLOAD": secrets.upload_name,
        "FILE": secrets.file_name,
    }


def _prepare(case: Case, certificates: Mapping[str, Certificate], home: Home) -> str:
    """Write rc, pin and revocation list; the rc."""
    rc = f"{case.rc.strip()}\n" if case.rc is not None else PIN if case.pins else ""
    if case.pins:
        home.put_file("pin.crt", b"".join(certificates[name].pem for name in case.pins))
    if case.sha1_closure:
        rc += f"set ssl:verify-certificate/{certificates['leaf'].sha1} no\n"
    if case.revoked:
        home.put_file("crl.pem", _revocation_list(certificates["root"], certificates["leaf"]))
        rc += 'set ssl:crl-file "~/.lftp/crl.pem"\n'
    home.write_rc(rc)
    return rc


def _revocation_list(issuer: Certificate, leaf: Certificate) -> bytes:
    now = dt.datetime.now(dt.UTC)
    serial = x509.load_pem_x509_certificate(leaf.pem).serial_number
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=x509.load_pem_x509_certificate(issuer.pem).subject,
        last_update=now - dt.timedelta(hours=1),
        next_update=now + dt.timedelta(days=1),
    )
    signed = builder.add_revoked_certificate(revoked).sign(issuer.key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


@contextlib.contextmanager
def _server(case: Case, certificates: Mapping[str, Certificate], root: Path, secrets: Secrets) -> Iterator[int]:
    if case.listener is not None:
        with _listener(case.listener) as port:
            yield port
        return
    spec = ServerSpec(
        protocol=case.protocol,
        certificate=certificates.get("leaf"),
        data_certificate=certificates.get(case.data),
        chain=tuple(certificates[name] for name in case.chain),
    )
    with FtpsServer(spec, root=root, password=secrets.password) as server:
        yield server.port


@contextlib.contextmanager
def _listener(what: str) -> Iterator[int]:
    """Accepts, says one thing to the first bytes of a client (or at once), and closes."""
    answers = {"close": b"", "alert": b"\x15\x03\x01\x00\x02\x02\x28", "text": b"500 no TLS here\r\n" * 3}
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with server.accept()[0] as client:
                    if ended.is_set():
                        return
                    client.settimeout(SECONDS)
                    if what == "busy":
                        client.sendall(b"421 too many users\r\n")
                    else:
                        client.recv(4096)
                        client.sendall(answers[what])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            socket.create_connection(server.getsockname(), SECONDS).close()
            thread.join()


def _steady(home: Home, port: int, secrets: Secrets, certificates: Mapping[str, Certificate]) -> Callable[[bytes], str]:
    """Replaces what changes from run to run."""
    words = {str(home.root): "/ROOT", secrets.user: "USER", secrets.password: "PASSWORD"}
    words |= {secrets.file_name: "FILE", secrets.upload_name: "UPLOAD"}
    words |= {certificate.sha1: _fingerprint(name) for name, certificate in certificates.items()}
    rules = [
        (rf"\b{port}\b", "2121"),
        (r"(?m)^\[\d+\] ", "[1] "),
        (r"\(127,0,0,1,\d+,\d+\)", "(127,0,0,1,200,1)"),
        (r"\(\|\|\|\d+\|\)", "(|||51201|)"),
        (r"(data socket to \(127\.0\.0\.1\) port) \d+", r"\1 51201"),
        (r"PORT 127,0,0,1,\d+,\d+", "PORT 127,0,0,1,200,2"),
    ]

    def steady(data: bytes) -> str:
        text = data.decode("utf-8", "backslashreplace")
        for word, instead in words.items():
            text = text.replace(word, instead)
        for pattern, instead in rules:
            text = re.sub(pattern, instead, text)
        return text

    return steady


def _fingerprint(name: str) -> str:
    """A fingerprint that stands for a certificate's, the same every time."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).digest().hex(":").upper()


def file_name(lftp: Lftp) -> str:
    """Where the recordings of a build are kept."""
    return f"lftp-{lftp.version}-{lftp.tls.lower().replace(' ', '-')}.json"


def record_all(lftp: Lftp, names: Sequence[str]) -> dict[str, Any]:
    """The named cases on one build."""
    return {
        "lftp": {"version": lftp.version, "tls": lftp.tls, "dialect": lftp.dialect},
        "recorded": dt.datetime.now(dt.UTC).date().isoformat(),
        "on": f"{platform.system()} {platform.machine()}",
        "by": "python tests/recordings/record.py LFTP",
        "cases": [record(lftp, name) for name in names],
    }


def main() -> int:
    """Record the builds named on the command line."""
    parser = argparse.ArgumentParser(description="Record what real lftp builds print.")
    parser.add_argument("lftp", nargs="+", help="an lftp executable")
    parser.add_argument("--case", action="append", choices=CASES, help="only this case (repeatable)")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder to write into")
    options = parser.parse_args()
    for path in options.lftp:
        lftp = identify(find(path))
        names = options.case or list(CASES)
        target: Path = options.into / file_name(lftp)
        target.write_text(json.dumps(record_all(lftp, names), indent=1) + "\n", "utf-8")
        print(f"{path}: {len(names)} cases in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
