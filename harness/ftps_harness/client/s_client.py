"""Fetch a server's certificate as the document does: from the output of ``openssl s_client``."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    from pathlib import Path

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----\r?\n?")


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of ``openssl s_client``.

    Attributes:
        command: The command line.
        output: Its whole standard output, as a user would see and save it. Its text differs between OpenSSL versions
            and its length from run to run (docs/lftp.md, "openssl s_client"), so compare only `certificates`.
        certificates: The PEM blocks in it, in the order in which the server sent them: the first is the leaf.
    """

    command: tuple[str, ...]
    output: bytes
    certificates: tuple[bytes, ...]

    @property
    def leaf(self) -> bytes:
        """The server's own certificate."""
        return self.certificates[0]


def fetch(
    host: str,
    port: int,
    *,
    protocol: Literal["explicit", "implicit"] = "explicit",
    server_name: str | None = None,
    timeout: float = 10.0,
    start: process.Starter = process.run,
    parent: Path | None = None,
) -> Fetched:
    """Run the document's command and extract the certificates from its output.

    The exit code says nothing (it is 0 even if verification fails; docs/lftp.md, "openssl s_client"): what counts is
    whether the output has a certificate. OpenSSL 1.1.1 and newer send `host` in SNI unless it is an address.

    Args:
        host: The name or address to connect to.
        port: The server's port.
        protocol: ``explicit`` asks for TLS with ``-starttls ftp``; ``implicit`` begins with it.
        server_name: Another name for SNI.
        timeout: Seconds until it is killed; an implicit port without TLS, for example, never answers.
        start: Starts openssl: on this machine, or in a container.
        parent: A folder for its HOME that it can reach; None for the system's folder for temporary files.

    Raises:
        HarnessError: openssl is missing, or its output has no certificate.
    """
    openssl = shutil.which("openssl") if start is process.run else "/usr/bin/openssl"
    if openssl is None:
        raise HarnessError("no openssl on PATH, with which the document fetches the certificate: apt install openssl")
    command = command_line(host, port, protocol=protocol, server_name=server_name)
    with Folder("openssl", parent) as folder:
        # The user's openssl.cnf and trust store must not matter here, and reading the system's takes 20 ms.
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder.path), "LC_ALL": "C", "OPENSSL_CONF": "/dev/null"}
        variables |= {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/dev/null"}
        finished = start([openssl, *command[1:]], env=variables, cwd=folder.path, timeout=timeout)
    certificates = tuple(_PEM.findall(finished.stdout))
    if not certificates:
        raise HarnessError(f"{shlex.join(command)} fetched no certificate: {_why(finished, timeout)}")
    return Fetched(command, finished.stdout, certificates)


def command_line(
    host: str, port: int, *, protocol: Literal["explicit", "implicit"] = "explicit", server_name: str | None = None
) -> tuple[str, ...]:
    """The command as a user types it."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    starttls = ("-starttls", "ftp") if protocol == "explicit" else ()
    name = ("-servername", server_name) if server_name else ()
    return ("openssl", "s_client", "-showcerts", "-connect", address, *starttls, *name)


def _why(finished: process.Finished, timeout: float) -> str:
    if finished.timed_out:
        return f"the server did not show one within {timeout:.0f} seconds (does this port speak TLS?)"
    said = [line for line in finished.stderr.decode("utf-8", "replace").splitlines() if "error" in line.lower()]
    if said:
        return said[-1].strip()
    return f"exit code {finished.exit_code} without an explanation (does this port speak TLS?)"
