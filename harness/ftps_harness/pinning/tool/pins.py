"""The file of pinned certificates, which the rc names as `ssl:ca-file`: one for all hosts.

lftp has one ca-file, without closures (docs/lftp.md, "The pin"), and checks the host name in whichever certificate
matches. So one file holds the certificates of all hosts, with a comment before each that names the host. lftp ignores
everything outside the PEM blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509

from ftps_harness.errors import HarnessError
from ftps_harness.pinning.tool import certificate as certificates
from ftps_harness.pinning.tool.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME: Final = "ftps-lab-pins.crt"
_TITLE: Final = (
    b"# Certificates pinned by `ftps-lab pin`; it reads and writes this file, and lftp trusts what is in it.\n"
)
_ENTRY: Final = re.compile(
    rb"# ([0-9a-z._:-]+) ([0-9]+) (explicit|implicit)\n"
    rb"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n)"
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One host's certificate.

    Attributes:
        target: The host.
        certificate: The certificate that it presented.
    """

    target: Target
    certificate: x509.Certificate


def parse(data: bytes, path: str) -> tuple[Pin, ...]:
    """Parse the file of pins.

    Args:
        data: Its content.
        path: Its name, for the message.

    Raises:
        HarnessError: It differs from what `render` writes: it was edited.
    """
    found = []
    for host, port, protocol, block in _ENTRY.findall(data):
        target = Target(host.decode(), int(port), protocol.decode())
        try:
            found.append(Pin(target, x509.load_pem_x509_certificate(block)))
        except ValueError:
            break
    if render(found) != data:
        raise HarnessError(
            f"{path}: the file was edited since `ftps-lab pin` wrote it, so it was left unchanged. Undo the edit or "
            f"move the file away, then pin again"
        )
    return tuple(found)


def render(pins: Iterable[Pin]) -> bytes:
    """The file's content, sorted by host; empty without pins."""
    entries = sorted(pins, key=lambda pin: pin.target)
    return _TITLE * bool(entries) + b"".join(
        f"# {each.target.host} {each.target.port} {each.target.protocol}\n".encode()
        + certificates.pem(each.certificate)
        for each in entries
    )
