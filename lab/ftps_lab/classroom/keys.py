"""The hosts' certificates with their keys, for the checker: it runs the same servers against a learner's HOME.

They are in an in-memory volume that no learner sees (compose.yaml).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_lab.certificates import Certificate

_KEPT = 2
"""The current certificate, and the one before the last rotation."""


def keep(staff: Path, host: str, certificate: Certificate) -> None:
    """Store the newest certificate of a host.

    Raises:
        OSError: It cannot be written.
    """
    path = staff / f"{host}.keys"
    kept = json.loads(path.read_text("ascii")) if path.exists() else []
    kept = [*kept, {"certificate": certificate.pem.decode(), "key": certificate.key_pem.decode()}][-_KEPT:]
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(kept), "ascii")
    draft.replace(path)


def kept(staff: Path, host: str) -> list[Certificate]:
    """The last certificates of a host, the newest last.

    Raises:
        LabError: The host has stored none, so it has not started.
    """
    try:
        pairs = json.loads((staff / f"{host}.keys").read_text("ascii"))
    except OSError as error:
        raise LabError(
            f"the host {host} has no certificate yet ({error.strerror}); check with docker compose ps that it runs"
        ) from error
    return [certificate_of(host, pair["certificate"], pair["key"]) for pair in pairs]


def certificate_of(name: str, pem: str, key_pem: str) -> Certificate:
    """A certificate with its key, from PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from ftps_lab.certificates import Certificate

    key = load_pem_private_key(key_pem.encode(), None)
    return Certificate(name, x509.load_pem_x509_certificate(pem.encode()), key)  # type: ignore[arg-type]  # ours
