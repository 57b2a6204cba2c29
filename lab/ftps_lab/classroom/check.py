"""Looks at a host as a careful learner does: a 220, AUTH TLS, and the certificate that the host must show.

It uses only the standard library and two connections, because it runs every few seconds in each container.
"""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import ssl
from typing import TYPE_CHECKING, Final

from ftps_lab.attackers import ATTACKS
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_lab.classroom.hosts import Host

_PATIENCE: Final = 4.0
"""Seconds for each answer; Docker's own limit is in compose.yaml and is longer."""

# OpenSSL's X509_V_ERR_* codes (x509_vfy.h) for the faults in the table of hosts; 0 is X509_V_OK.
_FAULTS: Final = {0: "", 9: "not yet valid", 10: "expired", 62: "another name"}


def check(host: Host, address: str, port: int, handed_out: Path) -> None:
    """Return if the host matches the table.

    Args:
        host: The expected host.
        address: Its address.
        port: Its control port.
        handed_out: The folder with the files that students get.

    Raises:
        LabError: The host does not answer, does not speak TLS, or shows another certificate.
    """
    attack = ATTACKS.get(host.attack)
    if attack is not None and not attack.shows_certificate:
        _check_denied(host, address, port)
        return
    shown = ssl.DER_cert_to_PEM_cert(shown_certificate(address, port))
    given = [(handed_out / name).read_text("ascii") for name in host.handed_out]
    if attack is not None and attack.intercepts and shown in given:
        raise LabError(f"{address} port {port} shows the genuine certificate of {host.name!r}: the attacker is missing")
    trusted = given[0] if host.authority else shown
    # Under the name in the certificate, "another name" disappears; any other fault must show there too.
    own = "" if host.fault == "another name" else host.fault
    for name, expected in ((host.address, host.fault), (host.leaf.names[0], own)):
        found = _fault(address, port, name, trusted)
        if found != expected:
            raise LabError(
                f"{address} port {port} does not show the certificate of {host.name!r}: a client that trusts it and "
                f"expects the name {name} should find the fault {expected or 'none'!r}, but finds {found or 'none'!r}"
            )


def _check_denied(host: Host, address: str, port: int) -> None:
    """Check that the host refuses AUTH and keeps talking: a dead port does not count as a refusal."""
    with contextlib.closing(ftplib.FTP(timeout=_PATIENCE)) as client:  # noqa: S321 - FTP is what the lab is about
        try:
            client.connect(address, port)
            said = client.sendcmd("AUTH TLS")
        except ftplib.error_perm:
            client.sendcmd("NOOP")
            return
        except (OSError, EOFError, ftplib.Error) as error:
            why = str(error) or type(error).__name__
            raise LabError(f"{address} port {port} failed before AUTH: {why}") from error
    raise LabError(f"{address} port {port} should deny TLS as {host.name!r}, but answered {said!r} to AUTH")


def shown_certificate(address: str, port: int) -> bytes:
    """The certificate that the host shows now, unverified, as DER.

    Raises:
        LabError: The host does not answer, or does not speak TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only inspected, never trusted
    with _secured(address, port, address, context) as stream:
        shown = stream.getpeercert(binary_form=True)
    if shown is None:
        raise LabError(f"{address} port {port} shows no certificate")
    return shown


def fingerprint(shown: bytes) -> str:
    """The SHA-1 fingerprint as lftp prints it: upper case, with colons."""
    return hashlib.sha1(shown, usedforsecurity=False).digest().hex(":").upper()


def _fault(address: str, port: int, name: str, trusted: str) -> str:
    """The fault that OpenSSL finds with the host under this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trusted)
    try:
        with _secured(address, port, name, context):
            return _FAULTS[0]
    except ssl.SSLCertVerificationError as error:
        return _FAULTS.get(error.verify_code, error.verify_message)


@contextlib.contextmanager
def _secured(address: str, port: int, name: str, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A control connection in TLS, if the certificate allows it."""
    client = ftplib.FTP_TLS(context=context, timeout=_PATIENCE)  # noqa: S321 - FTP is what the lab is about
    try:
        client.connect(address, port)
        client.host = name  # the name that the certificate is checked against
        client.auth()
        assert isinstance(client.sock, ssl.SSLSocket)
        yield client.sock
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, EOFError, ftplib.Error) as error:
        why = str(error) or type(error).__name__
        raise LabError(f"{address} port {port} failed before the TLS handshake was complete: {why}") from error
    finally:
        client.close()
