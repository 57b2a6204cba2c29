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
    yield f"{target} shows a certificate ({fetched.tls}, {harmless(fetched.address)}):"
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
        "Compare the SHA-256 fingerprint by another way than this connection: on the server itself (openssl x509 -in "
        f"CERTIFICATE -noout -fingerprint -sha256), with its owner on the phone, or with `ftps-lab pin {target.typed} "
        "--expect SHA256`. Whoever answered now, an interceptor too, is trusted from now on."
    )


def meaning(target: Target, by: str, rc: str, pins: str) -> Iterator[str]:
    """The effect of the lines in the rc."""
    host = target.host
    if by == "file":
        yield (
            f"ssl:ca-file names {pins}, by its whole path: lftp takes this certificate for {host}, and no other key. "
            "It replaces the system's trust store for ALL hosts: another FTPS host, with an ordinary certificate, is "
            "refused until it is pinned too."
        )
    else:
        yield (
            f"ssl:verify-certificate/SHA1 no: lftp takes this one certificate, and looks at neither name nor dates of "
            f"it. A fingerprint binds to no host: lftp accepts this certificate for every other host too. Whoever runs "
            f"{host} could play another server of yours."
        )
    if target.protocol == "explicit":
        yield (
            f"ftp:ssl-force/{host}: no TLS, no login. ftp:ssl-allow-anonymous/{host}: also for anonymous logins. "
            f"ftp:ssl-protect-data/{host}: files in TLS with lftp 4.8.4 too."
        )
    yield f"These lines are in {rc}. Another name of the server, or its address, is another host to them."


def remarks(chain: tuple[x509.Certificate, ...], by: str) -> Iterator[str]:
    """Remarks about special properties of the certificate."""
    leaf = chain[0]
    if certificates.is_authority(leaf):
        yield (
            "Note: this certificate is an authority (CA) as well"
            + (": every certificate that its key signs is trusted for the name in it." if by == "file" else ".")
        )
    if by == "file" and (len(chain) > 1 or not certificates.is_self_signed(leaf)):
        yield (
            "Note: this certificate was issued by an authority, and it alone is pinned, not its authority. lftp built "
            "with GnuTLS (Debian, Ubuntu) connects from 4.9.2 on; lftp 4.8.4 refuses it if the server sends its "
            "authority's certificate too, and lftp built with OpenSSL always does. There use --by fingerprint."
        )


def change(target: Target, old: Facts, new: Facts, old_way: str, way: str) -> Iterator[str]:
    """Why nothing was written: a different pin exists."""
    if old.sha256 == new.sha256:
        yield f"{target} is pinned by {old_way} already. To pin it by {way} instead, add --replace."
        return
    yield f"THE CERTIFICATE OF {target} HAS CHANGED. Nothing was written; the old pin stays."
    yield f"  pinned    {old.sha256}"
    yield f"  shown     {new.sha256}"
    if old.key == new.key:
        yield "It is a renewal: the new certificate has the same key as the pinned one."
    else:
        yield "Its key is another one. Either the server has got a new key, or somebody else answers in its place."
    yield f"Ask the server's owner. Then, if it is right: ftps-lab pin {target.typed} --replace --expect {new.sha256}"


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
