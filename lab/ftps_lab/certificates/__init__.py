"""Certificates with exactly one defect: their content as frozen data, issued in memory.

    root = CertificateSpec(common_name="Lab root")
    expired = CertificateSpec(issuer="root", not_after="-1h")
    certificates = issue({"root": root, "expired": expired})
    certificates["expired"].sha256        # "4F:0A:…"

`hostile` issues what no spec can express: any bytes and any length in subject, SAN and comment.

`spec` has the data and its rules, `issuing` builds, `impostor` makes twins, `signing` signs what the library's builder
refuses to sign, `certificate` is the result.

The lab does not issue with trustme, which cannot express any spec exactly: its leaves carry O and OU, a critical SAN
and a critical EKU for client, server and code, and its authorities have no common name. (A test states which fields
differ, and fails on the day that changes.) `from_trustme` accepts certificates that your own tests issued with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ftps_lab.certificates.spec import (
    KEY_USAGES,
    KEYS,
    SIGNATURES,
    USAGES,
    CertificateSpec,
    check,
    moment,
)

if TYPE_CHECKING:
    from ftps_lab.certificates.certificate import Certificate, PrivateKey, from_trustme
    from ftps_lab.certificates.hostile import hostile
    from ftps_lab.certificates.impostor import doubles, twins
    from ftps_lab.certificates.issuing import issue

__all__ = [
    "KEYS",
    "KEY_USAGES",
    "SIGNATURES",
    "USAGES",
    "Certificate",
    "CertificateSpec",
    "PrivateKey",
    "check",
    "doubles",
    "from_trustme",
    "hostile",
    "issue",
    "moment",
    "twins",
]

if not TYPE_CHECKING:
    # Reading scenarios (`ftps-lab list`) needs the data and the rules, but not 70 ms of OpenSSL.
    _LAZY = {
        "Certificate": "certificate",
        "PrivateKey": "certificate",
        "doubles": "impostor",
        "from_trustme": "certificate",
        "hostile": "hostile",
        "issue": "issuing",
        "twins": "impostor",
    }

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
