"""The tables of dialects: what lftp and its TLS library print, and what it means.

A row must match the whole text; text that no row matches is unknown. To add a message, add a row: `reasons` are those
of docs/reference.md, "Reasons", and `source` names the build on which the text was measured, or its place in the
source.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["reason", "login", "access", "retries", "failure", "local", "lookup", "unknown"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        text: A regular expression for the whole text.
        meaning: The reasons of a refusal; for other lines, the kind.
        source: The build it was measured on, or the place of the text in the source.
    """

    text: str
    meaning: frozenset[str]
    source: str

    def matches(self, said: str) -> bool:
        """Whether the whole text matches, from the first character to the last."""
        return re.fullmatch(self.text, said, re.DOTALL) is not None


def _row(text: str, meaning: str, source: str) -> Row:
    return Row(text, frozenset(meaning.split()), source)


STRERROR = "(?:" + "|".join(sorted({re.escape(os.strerror(number)) for number in errno.errorcode})) + ")"
"""The C library's messages for failed system calls, as a regular expression."""

_HOST = r"(?:'[\w.:-]+'|‘[\w.:-]+’)"  # noqa: RUF001  # lftp quotes as the locale does
_NAME = "(?:'.*'|‘.*’)"  # noqa: RUF001  # from a certificate: anything
_LFTP_484 = "lftp 4.8.4, src/lftp_ssl.cc"
_LFTP_493 = "lftp 4.9.3, src/lftp_ssl.cc"
_X509 = "OpenSSL 3.0.22, crypto/x509/x509_txt.c"

_GNUTLS = (
    _row(f"certificate common name doesn't match requested host name {_HOST}", "hostname", "measured: 4.8.4, 4.9.3"),
    _row("No certificate was found!", "untrusted", _LFTP_493),
    _row("Unsupported certificate type", "untrusted", _LFTP_493),
)
"""Messages of both GnuTLS dialects."""

CLASSIC = (
    _row("Not trusted(: no issuer was found)?(: [iI]ssuer is not a CA)?", "untrusted", "measured: 4.8.4; " + _LFTP_484),
    _row("Not yet activated", "not-yet-valid", _LFTP_484),
    _row("Expired", "expired", _LFTP_484),
    _row("Revoked", "revoked", _LFTP_484),
    *_GNUTLS,
)
"""GnuTLS, old verification: the first failing check is the refusal."""

_STATUS_PRINT = "GnuTLS 3.7.9, lib/cert-session.c, gnutls_certificate_verification_status_print"

STATUS_SENTENCES = (
    _row("The certificate is NOT trusted. ", "", "measured: 4.9.2-2"),
    _row("The certificate issuer is unknown. ", "untrusted", "measured: 4.9.2-2"),
    _row("The certificate issuer is not a CA. ", "untrusted", "measured: 4.9.2-2"),
    _row("The signature in the certificate is invalid. ", "untrusted", "measured: 4.9.2-2"),
    _row("The certificate chain violates the signer's constraints. ", "untrusted", "measured: 4.9.2-2"),
    _row("The certificate contains an unknown critical extension. ", "untrusted", _STATUS_PRINT),
    _row("The certificate doesn't match the local copy \\(TOFU\\). ", "untrusted", _STATUS_PRINT),
    _row("The certificate chain uses expired certificate. ", "expired", "measured: 4.9.2-2"),
    _row("The certificate chain uses not yet valid certificate. ", "not-yet-valid", "measured: 4.9.2-2"),
    _row("The certificate chain is revoked. ", "revoked", _STATUS_PRINT),
    _row("The revocation or OCSP data are old and have been superseded. ", "untrusted", _STATUS_PRINT),
    _row("The revocation or OCSP data are issued with a future date. ", "untrusted", _STATUS_PRINT),
    _row(
        "The certificate requires the server to include an OCSP status in its response, "
        "but the OCSP status is missing. ",
        "untrusted",
        _STATUS_PRINT,
    ),
    _row("The certificate chain uses insecure algorithm. ", "weak", _STATUS_PRINT),
    _row("The certificate chain does not match the intended purpose. ", "purpose", _STATUS_PRINT),
    _row("The name in the certificate does not match the expected. ", "hostname", _STATUS_PRINT),
)
"""GnuTLS, new verification: the library's sentences, joined in one text, each ending in a blank."""

STATUS = (*_GNUTLS,)
"""GnuTLS, new verification: messages that are not sentences of the library."""

OPENSSL = (
    _row("self[- ]signed certificate( in certificate chain)?", "untrusted", "measured: 4.9.3 with OpenSSL 3.0.22"),
    _row("unable to get (local )?issuer certificate", "untrusted", "measured: 4.9.3 with OpenSSL 3.0.22"),
    _row("unable to verify the first certificate", "untrusted", "measured: 4.9.3 with OpenSSL 3.0.22"),
    _row("certificate has expired", "expired", "measured: 4.9.3 with OpenSSL 3.0.22"),
    _row("certificate is not yet valid", "not-yet-valid", "measured: 4.9.3 with OpenSSL 3.0.22"),
    _row(
        "certificate is not yet valid or the system clock is incorrect",
        "not-yet-valid",
        "measured: 4.9.3 with OpenSSL 3.6.5",
    ),
    _row("certificate revoked", "revoked", _X509),
    _row("(EE certificate|CA certificate) key too weak", "weak", _X509),
    _row("CA signature digest algorithm too weak", "weak", _X509),
    # 1.1.1 and older say "unsupported", 3.0 and newer "unsuitable".
    _row("(unsuitable|unsupported) certificate purpose", "purpose", _X509),
    _row("key usage does not include digital signature", "purpose", _X509),
    _row("certificate signature failure", "untrusted", _X509),
    _row("unable to decrypt certificate's signature", "untrusted", _X509),
    _row("unable to decode issuer public key", "untrusted", _X509),
    _row("(invalid CA certificate|invalid non-CA certificate \\(has CA markings\\))", "untrusted", _X509),
    _row("(path length constraint exceeded|certificate chain too long|path loop)", "untrusted", _X509),
    _row("certificate (not trusted|rejected)", "untrusted", _X509),
    _row("subject issuer mismatch", "untrusted", _X509),
    _row("authority and (subject key identifier|issuer serial number) mismatch", "untrusted", _X509),
    _row("key usage does not include certificate signing", "untrusted", _X509),
    _row("issuer certificate doesn't have a public key", "untrusted", _X509),
    _row("unhandled critical extension", "untrusted", _X509),
    _row("unsupported extension feature", "untrusted", _X509),
    _row("invalid or inconsistent certificate (policy )?extension", "untrusted", _X509),
    _row("(permitted|excluded) subtree violation", "untrusted", _X509),
    _row("unsupported (or invalid )?name (constraint (type|syntax)|syntax)", "untrusted", _X509),
    _row("name constraints minimum and maximum not supported", "untrusted", _X509),
    _row("format error in certificate's not(Before|After) field", "untrusted", _X509),
    _row("Certificate public key has explicit ECC parameters", "untrusted", _X509),
    _row("Cannot find certificate signature algorithm", "untrusted", _X509),
    _row("subject signature algorithm and issuer public key algorithm mismatch", "untrusted", _X509),
    _row("cert info signature and signature algorithm mismatch", "untrusted", _X509),
    _row("CRL has expired", "untrusted", _LFTP_493 + ", verify_crl"),
    _row("CRL signature failure", "untrusted", _LFTP_493 + ", verify_crl"),
    _row("format error in CRL's nextUpdate field", "untrusted", _LFTP_493 + ", verify_crl"),
    _row(f"subjectAltName does not match {_HOST}", "hostname", "measured: 4.9.3 with OpenSSL 3.0.22"),
    _row(
        f"certificate subject name {_NAME} does not match target host name {_HOST}",
        "hostname",
        "measured: 4.9.3 with OpenSSL 3.0.22",
    ),
    _row("unable to obtain common name from peer certificate", "hostname", _LFTP_493),
    _row("illegal cert name field \\(contains NUL character\\)", "hostname", _LFTP_493),
    _row("invalid cert name field \\(cannot convert from UTF8\\)", "hostname", _LFTP_493),
    _row("No certificate presented by .*\\.", "untrusted", _LFTP_493),
)
"""OpenSSL: the library's message for one failure, or lftp's own for a name."""

CERTIFICATE: dict[str, tuple[Row, ...]] = {"classic": CLASSIC, "status": STATUS, "openssl": OPENSSL}
"""The text after ``Certificate verification: ``, without the fingerprint at its end; by dialect."""

_REPLY = "[0-9]{3}([ -].*)?"
_FTP = "lftp 4.9.3, src/ftpclass.cc"
_NET = "lftp 4.9.3, src/NetAccess.cc"

FATAL: dict[Kind, tuple[Row, ...]] = {
    "reason": (
        _row("gnutls_handshake: .*", "tls-handshake", "measured: 4.8.4 to 4.9.3 with GnuTLS; " + _LFTP_493),
        _row("SSL_connect: .*", "tls-handshake", "measured: 4.9.3 with OpenSSL 3.0.22; " + _LFTP_493),
    ),
    "access": (_row(_REPLY, "", _FTP + ", NoFileCheck and TransferCheck: the server's own reply"),),
    "retries": (_row("max-retries exceeded( \\(.*\\))?", "", "measured: 4.8.4 to 4.9.3; " + _NET),),
    "failure": (
        _row("(gnutls_record_(recv|send)|SSL_(read|write)): .*", "", _LFTP_493 + ": TLS broke after the handshake"),
        _row("unsupported network protocol", "", _FTP),
    ),
}
"""The text after ``Fatal error: `` that is not about a certificate, by kind."""

LOGIN: dict[Kind, tuple[Row, ...]] = {
    "reason": (
        _row(
            "ftp:ssl-force is set and server does not support or allow SSL",
            "tls-required",
            "measured: 4.8.4 to 4.9.3; " + _FTP,
        ),
    ),
    "login": (
        _row(_REPLY, "", "measured: 4.8.4 to 4.9.3: the server's own reply"),
        _row("Account is required, set ftp:acct variable", "", _FTP),
        _row("ftp:skey-force is set and server does not support OPIE nor S/KEY", "", _FTP),
    ),
}
"""The text after ``Login failed: ``, by kind."""

ACCESS: dict[Kind, tuple[Row, ...]] = {
    "access": (_row(_REPLY, "", "measured: 4.8.4 to 4.9.3: the server's own reply, then the file's name"),),
    # A server's reply begins with its code, so it cannot look like this.
    "local": (
        _row(f"[^0-9].*: {STRERROR}", "", "measured: 4.8.4 to 4.9.3: mirror -R of a local folder that is not there"),
    ),
}
"""The text after ``Access failed: ``, by kind."""

CLASSES: dict[str, dict[Kind, tuple[Row, ...]]] = {
    "Fatal error": FATAL,
    "Login failed": LOGIN,
    "Access failed": ACCESS,
}
"""lftp's classes of errors (lftp 4.9.3, src/FileAccess.cc, StrError) that count as its own words."""
