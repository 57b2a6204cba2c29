#!/usr/bin/python3
"""Pin the certificate of an FTPS server for lftp, with Python's standard library alone.

right.py [--replace] [--expect SHA256] [--implicit] HOST [PORT]
"""

import argparse
import fcntl
import hashlib
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = dict.fromkeys(("ftp:ssl-force", "ftp:ssl-allow-anonymous", "ftp:ssl-protect-data", "ftp:ssl-allow"), "yes")
ON = (b"yes", b"on", b"true", b"1")
SECONDS = 10.0  # for the server's whole conversation, not for each read


class Refusal(Exception):
    """A sentence for the user; nothing was written."""


class Server:
    """What a server shows; each connection gets the time that is left."""

    def __init__(self, host, port, implicit):
        self.host, self.port, self.implicit = host, port, implicit
        self.end = time.monotonic() + SECONDS

    def left(self):
        if (left := self.end - time.monotonic()) <= 0:
            raise Refusal("the server takes too long")
        return left

    def read_reply(self, sock):
        """The code of a reply with one or more lines (RFC 959 section 4.2)."""
        data, first = b"", None
        while len(data) < 65536:
            sock.settimeout(self.left())
            if not (got := sock.recv(1)):  # one byte: anything after 234 belongs to TLS
                raise Refusal("the server closed the connection")
            data += got
            if not data.endswith(b"\n"):
                continue
            line = data.rpartition(b"\n")[0].rpartition(b"\n")[2]
            if first is None and not re.match(rb"\d\d\d[ -]", line):
                raise Refusal("this is not an FTP server")
            first = first or line[:4]
            if line[:4] == first[:3] + b" ":
                return first[:3]
        raise Refusal("the server's reply is too long")

    def connect(self, context):
        """A TLS connection to the server."""
        sock = socket.create_connection((self.host, self.port), self.left())
        try:
            if self.port == 990 and not select.select([sock], [], [], 3)[0]:
                self.implicit = True  # the server is silent: it waits for TLS
            if not self.implicit:
                if self.read_reply(sock) != b"220":
                    raise Refusal("the server greets with an error")
                sock.sendall(b"AUTH TLS\r\n")
                if self.read_reply(sock) != b"234":
                    raise Refusal("the server refuses AUTH TLS")
            sock.settimeout(self.left())
            return context.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise

    def certificate(self):
        """The certificate that the server shows to every client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with self.connect(context) as tls:
            return tls.getpeercert(binary_form=True)

    def verify(self, pem):
        """Connect as lftp will: trust only this certificate, and check its name and dates."""
        context = ssl.create_default_context(cadata=pem)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            self.connect(context).close()
        except ssl.SSLCertVerificationError as error:
            raise Refusal(f"lftp would refuse this certificate: {error.verify_message}") from None


def public_key(der):
    """The SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1)."""

    def items(data):
        while data:
            size, start = data[1], 2
            if size & 0x80:
                start += size & 0x7F
                size = int.from_bytes(data[2:start], "big")
            yield data[0], data[start : start + size], data[: start + size]
            data = data[start + size :]

    fields = [whole for tag, _, whole in items(next(items(next(items(der))[1]))[1]) if tag != 0xA0]
    return fields[5]


class Pins:
    """The bundle for ssl:ca-file, with one line for each host."""

    def __init__(self, data):
        self.blocks = dict(re.findall(rb"# (\S+)\n(-----BEGIN .*?-----END CERTIFICATE-----\n)", data, re.DOTALL))

    def data(self):
        return b"".join(b"# %s\n%s" % block for block in self.blocks.items())


def in_effect(home, pins):
    """The settings of lftp with that HOME that are missing or work against the pins; empty if the pins apply."""
    environment = {"HOME": str(home), "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    asked = subprocess.run(
        ["lftp", "-c", "set -a"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=10
    )
    found = dict(line.split(b" ", 2)[1:] for line in asked.stdout.splitlines() if line.count(b" ") >= 2)
    for name, value in found.items():
        if re.match(rb"ssl:(verify-certificate|check-hostname)", name) and value.lower() not in ON:
            return f"{name.decode('ascii', 'replace')} is switched off"
    wanted = {"ssl:ca-file": str(pins), **SETTINGS}
    lacking = [
        name for name, value in wanted.items() if found.get(name.encode(), b"").strip(b'"') != os.fsencode(value)
    ]
    return f"lftp does not take {lacking[0]}" if lacking else ""


def read(path):
    return path.read_bytes() if path.exists() else b""


def pin(arguments, home, stage, pem, folder):
    """Create the new state in a copy, have lftp check it, and move it into place."""
    rc, bundle = home / folder / "rc", home / folder / "pins.crt"
    if rc.exists() and not os.access(rc, os.W_OK):
        raise Refusal(f"{rc} is read-only")
    pins, host = Pins(read(bundle)), arguments.host.encode()
    old = pins.blocks.get(host, pem)
    if old != pem and not arguments.replace:
        same = public_key(ssl.PEM_cert_to_DER_cert(old.decode())) == public_key(ssl.PEM_cert_to_DER_cert(pem.decode()))
        what = "was renewed with the same key" if same else "has changed"
        raise Refusal(f"the certificate {what}: compare its fingerprint, then use --replace")
    pins.blocks[host] = pem
    (stage / folder).mkdir(parents=True)
    if (home / folder).is_dir():  # files that the rc may source
        shutil.copytree(home / folder, stage / folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    (stage / ".lftprc").write_bytes(read(home / ".lftprc"))
    new = {rc: read(rc), bundle: pins.data()}
    for path, data in new.items():
        (stage / folder / path.name).write_bytes(data)
    if in_effect(stage, stage / folder / "pins.crt"):
        lines = "".join(
            f"set {name} {value}\n" for name, value in {"ssl:ca-file": f"~/{folder}/pins.crt", **SETTINGS}.items()
        )
        new[rc] += (b"\n" if new[rc] and not new[rc].endswith(b"\n") else b"") + lines.encode()
        (stage / folder / "rc").write_bytes(new[rc])
        if why := in_effect(stage, stage / folder / "pins.crt"):
            raise Refusal(f"{why}, whatever is added to {rc}: look for the line that does it, or at the path of HOME")
    (home / folder).mkdir(parents=True, exist_ok=True)
    for path in (bundle, rc):
        target = Path(os.path.realpath(path))
        if read(target) != new[path]:
            if target.exists():
                shutil.copymode(target, stage / folder / path.name)
            with open(stage / folder / path.name, "rb") as file:
                os.fsync(file.fileno())
            os.replace(stage / folder / path.name, target)


def main():
    parser = argparse.ArgumentParser(prog="right.py", allow_abbrev=False)
    parser.add_argument("--replace", action="store_true", help="take a changed certificate")
    parser.add_argument("--expect", metavar="SHA256", default="", help="pin only the certificate with this fingerprint")
    parser.add_argument("--implicit", action="store_true", help="TLS from the first byte")
    parser.add_argument("host")
    parser.add_argument("port", type=int, nargs="?")
    arguments = parser.parse_args()
    if not re.fullmatch(r"[A-Za-z0-9:][A-Za-z0-9.:-]*", arguments.host):
        raise Refusal("this is not a host name")
    if os.environ.keys() & {"LFTP_HOME", "XDG_CONFIG_HOME"}:
        raise Refusal("unset LFTP_HOME and XDG_CONFIG_HOME first")
    os.umask(0o077)
    home = Path(os.environ["HOME"])
    server = Server(arguments.host, arguments.port or (990 if arguments.implicit else 21), arguments.implicit)
    der = server.certificate()
    pem = ssl.DER_cert_to_PEM_cert(der)
    sha256 = hashlib.sha256(der).hexdigest().upper()
    print(f"{arguments.host} shows the certificate with SHA-256", ":".join(re.findall("..", sha256)), flush=True)
    if arguments.expect and arguments.expect.replace(":", "").upper() != sha256:
        raise Refusal("another fingerprint was expected")
    server.verify(pem)
    lock = os.open(home, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # held by another run while it writes, not while it waits for a server
    folder = ".lftp" if (home / ".lftp").is_dir() or not (home / ".config/lftp").is_dir() else ".config/lftp"
    with tempfile.TemporaryDirectory(prefix=".pinning-", dir=home) as stage:
        pin(arguments, home, Path(stage), pem.encode(), folder)
    print("Pinned. ssl:ca-file replaces the system's trust store for every host.")
    print("An lftp built with OpenSSL refuses a pin that an authority has issued.")


if __name__ == "__main__":
    try:
        main()
    except (Refusal, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"right.py: {error}; nothing was pinned")
