"""Explains a pin in words, for users who have not read docs/hardening.md."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ftps_harness.pinning.tool import certificate as certificates
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

    from ftps_harness.pinning.tool.certificate import Facts
    from ftps_harness.pinning.tool.fetch import Fetched
    from ftps_harness.pinning.tool.state import Change
    from ftps_harness.pinning.tool.target import Target


def shown(target: Target, fetched: Fetched) -> Iterator[str]:
    """The certificate that the server presented."""
    leaf = fetched.leaf
    known = certificates.facts(leaf)
    yield f"{target} presents this certificate ({fetched.tls}, {harmless(fetched.address)}):"
    yield f"  SHA-256   {known.sha256}"
    yield f"  for       {_one_line(', '.join(certificates.names_of(leaf)[:5])) or 'no name'}"
    yield f"  issuer    {'itself' if certificates.is_self_signed(leaf) else _one_line(leaf.issuer.rfc4514_string())}"
    yield f"  valid     until {known.until:%Y-%m-%d}, {days(known)}"


def days(known: Facts) -> str:
    """How long a certificate stays valid."""
    if known.expired:
        return "expired"
    return "1 day left" if known.days_left == 1 else f"{known.days_left} days left"


def compare(target: Target) -> str:
    """The comparison that only a person can do."""
    return (
        f"Compare the SHA-256 fingerprint over a channel other than this connection: on the server itself (openssl "
        f"x509 -in CERTIFICATE -noout -fingerprint -sha256), with its owner on the phone, or with `ftps-lab pin "
        f"{target.typed} --expect SHA256`. From now on lftp trusts the server that answered, even if it was an "
        f"interceptor."
    )


def meaning(target: Target, by: str, rc: str, pins: str) -> Iterator[str]:
    """The effect of the lines in the rc."""
    host = target.host
    if by == "file":
        yield (
            f"ssl:ca-file names {pins}, by its absolute path: for {host}, lftp accepts this certificate and no other "
            f"key. The setting replaces the system's trust store for ALL hosts: lftp refuses every other FTPS host, "
            f"even with an ordinary certificate, until it is pinned too."
        )
    else:
        yield (
            f"ssl:verify-certificate/SHA1 no: lftp accepts this one certificate, and checks neither its name nor its "
            f"dates. A fingerprint is not bound to a host: lftp accepts this certificate for every other host too, "
            f"so the operator of {host} could impersonate your other servers."
        )
    if target.protocol == "explicit":
        yield (
            f"ftp:ssl-force/{host}: no TLS, no login. ftp:ssl-allow-anonymous/{host}: TLS for anonymous logins too. "
            f"ftp:ssl-protect-data/{host}: files in TLS with lftp 4.8.4 too."
        )
    yield f"These lines are in {rc}. They do not apply to other names of the server, or to its address."


def remarks(chain: tuple[x509.Certificate, ...], by: str) -> Iterator[str]:
    """Remarks about special properties of the certificate."""
    leaf = chain[0]
    if certificates.is_authority(leaf):
        yield (
            "Note: this certificate is also an authority (CA)"
            + (
                ": lftp trusts every certificate that its key signs, for the name in that certificate."
                if by == "file"
                else "."
            )
        )
    if by == "file" and (len(chain) > 1 or not certificates.is_self_signed(leaf)):
        yield (
            "Note: an authority issued this certificate; only the certificate is pinned, not the authority. lftp "
            "built with GnuTLS (Debian, Ubuntu) connects from version 4.9.2 on. lftp 4.8.4 refuses the certificate "
            "if the server also sends its authority's certificate, and lftp built with OpenSSL always refuses it: "
            "use --by fingerprint there."
        )


def change(target: Target, old: Facts, new: Facts, old_way: str, way: str) -> Iterator[str]:
    """Why nothing was written: a different pin exists."""
    if old.sha256 == new.sha256:
        yield f"{target} is already pinned by {old_way}. To pin it by {way} instead, add --replace."
        return
    yield f"THE CERTIFICATE OF {target} HAS CHANGED. Nothing was written; the old pin stays."
    yield f"  pinned    {old.sha256}"
    yield f"  shown     {new.sha256}"
    if old.key == new.key:
        yield "This is a renewal: the new certificate has the same key as the pinned one."
    else:
        yield "The key is different. Either the server has a new key, or an impostor answered."
    yield (
        f"Ask the server's owner whether the new certificate is genuine. If so: ftps-lab pin {target.typed} "
        f"--replace --expect {new.sha256}"
    )


def diff(change_: Change) -> Iterator[str]:
    """The changes as a unified diff."""
    stored = change_.stored
    pairs = (
        (stored.places.pins, stored.pins_data, change_.pins),
        (stored.places.rc, stored.rc_data, change_.rc),
    )
    for path, old, new in pairs:
        name = stored.places.shown(path)
        before, after = _lines(old), _lines(new)
        names = ("/dev/null" if old is None else name, "/dev/null" if new is None else name)
        yield from difflib.unified_diff(before, after, *names, lineterm="")


def _lines(data: bytes | None) -> list[str]:
    return harmless(data).removesuffix("\n").split("\n") if data else []


def _one_line(text: str) -> str:
    return harmless(text[:300]).replace("\n", "\\n")
