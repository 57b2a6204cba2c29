"""TLS contexts for the lab's servers, from memory, on pyOpenSSL, and one for the readiness check.

A server shows the certificate that it was given, however outdated: judging it is up to the client.
"""

from __future__ import annotations

import ssl
import warnings
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from ftps_lab.errors import LabError
from ftps_lab.wire.memory_tls import new_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_lab.certificates import Certificate

# For each version, the number that bounds the range and the option that excludes the version.
_VERSIONS: Final = {
    "1.0": (SSL.TLS1_VERSION, SSL.OP_NO_TLSv1),
    "1.1": (SSL.TLS1_1_VERSION, SSL.OP_NO_TLSv1_1),
    "1.2": (SSL.TLS1_2_VERSION, SSL.OP_NO_TLSv1_2),
    "1.3": (SSL.TLS1_3_VERSION, SSL.OP_NO_TLSv1_3),
}

VERSIONS: Final = tuple(_VERSIONS)
"""The TLS versions that a server can offer."""

# SSL_CTX_set_security_level(3): RSA keys below 2048 bits are refused from level 2 on (the default since OpenSSL 3.2),
# TLS 1.0 and 1.1 from level 1 on, and so are SHA-1 and MD5 in certificates (measured: by 3.3, no longer by 4.0).
OUTDATED_VERSIONS: Final = frozenset({"1.0", "1.1"})
_ANYTHING_GOES: Final = b"DEFAULT:@SECLEVEL=0"


def server_context(
    certificate: Certificate,
    chain: Sequence[Certificate] = (),
    versions: Sequence[str] = ("1.2", "1.3"),
) -> SSL.Context:
    """A context for a server that shows this certificate; nothing is read from files.

    Session resumption is OpenSSL's: a session resumes on any connection of the same context (lftp's data connections
    do this), and never on another context.

    Args:
        certificate: The certificate that the server shows, and whose key it holds.
        chain: Certificates sent after it, in this order, whether they belong there or not.
        versions: Some of `VERSIONS`, in any order; the server refuses the others.

    Raises:
        LabError: A version is unknown, none was given, or OpenSSL here lacks one or refuses the certificate.
    """
    if not versions or not set(versions) <= set(VERSIONS):
        raise LabError(
            f"a server cannot offer the TLS versions {list(versions)}: name at least one of {', '.join(VERSIONS)}"
        )
    context = new_context(SSL.TLS_SERVER_METHOD)
    try:
        if set(versions) & OUTDATED_VERSIONS or any(map(is_outdated, (certificate, *chain))):
            context.set_cipher_list(_ANYTHING_GOES)
        _offer(context, versions)
        context.use_certificate(certificate.x509)
        context.use_privatekey(certificate.key)
        for sent_after in chain:
            context.add_extra_chain_cert(sent_after.x509)
    except SSL.Error as error:
        raise LabError(
            f"OpenSSL here refuses to serve the certificate {certificate.name!r} over TLS {', '.join(versions)}: "
            f"{error}"
        ) from error
    # Without this id, a server that requests client certificates cannot resume: SSL_CTX_set_session_id_context(3).
    context.set_session_id(b"ftps-lab")
    return context


def _offer(context: SSL.Context, versions: Sequence[str]) -> None:
    numbers = [_VERSIONS[version][0] for version in versions]
    lowest, highest = min(numbers), max(numbers)
    context.set_min_proto_version(lowest)
    context.set_max_proto_version(highest)
    for number, leave_out in _VERSIONS.values():
        if lowest < number < highest and number not in numbers:
            context.set_options(leave_out)


def is_outdated(certificate: Certificate) -> bool:
    """Whether some OpenSSL builds serve this certificate only at security level 0."""
    key = certificate.x509.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        return True
    return isinstance(certificate.x509.signature_hash_algorithm, hashes.SHA1 | hashes.MD5)


@cache
def unverified() -> ssl.SSLContext:
    """A context without verification, for the readiness check only: it asks whether a server answers, not which."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are enabled on purpose
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
