"""The certificates that lftp names in its debug log while it verifies, even if verification is switched off."""

from __future__ import annotations

import re

from ftps_harness.client.messages.words import entries

_NAMED = re.compile(
    rb"(?:ERROR|WARNING): Certificate verification: .* \(((?:[0-9A-F]{2}:){19}[0-9A-F]{2})\)", re.DOTALL
)
"""The finding, then the certificate's SHA-1 (lftp 4.9.3, src/lftp_ssl.cc, `set_cert_error`). Without a finding, GnuTLS
builds do not name a certificate."""


def named_certificates(log: bytes) -> frozenset[str]:
    """SHA-1 fingerprints, upper case with colons.

    Args:
        log: The debug log, with or without the process ID before each entry.
    """
    return frozenset(found[1].decode("ascii") for entry in entries(log) if (found := _NAMED.fullmatch(entry)))
