"""Checks the protection of logins beyond the pin, and a pin's effect on other hosts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from OpenSSL import crypto

from ftps_harness.pinning.certificates import HOST, OTHER, authority, issued, own
from ftps_harness.pinning.rig import spec_of

if TYPE_CHECKING:
    from ftps_harness.pinning.rig import Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.certificates import Certificate

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

_OTHER_HOSTS: Final = re.compile(
    rb"(any|all|every|other)\s+(other\s+)?(hosts?|servers?|sites?)|no\s+host|(trust|system|certificate)\W+(trust\s+)?store",
    re.IGNORECASE,
)
"""Ways for a tool to say that its changes affect more than the one host."""


def tls_demanded(rig: Rig) -> None:
    """Refuse AUTH, and break the handshake in each way."""
    certificate = own()
    home = rig.pinned(certificate)
    rig.accepts(home, certificate, run=("list",))
    attacks = {
        "a server that refuses AUTH": {"attack": "refuse-auth"},
        "an attacker who strips AUTH": {"attack": "strip-auth"},
        "a server that closes the connection during the handshake": {
            "attack": "break-handshake",
            "attack_how": "close",
        },
        "a server that ends the handshake with an alert": {"attack": "break-handshake", "attack_how": "alert"},
    }
    for called, fields in rig.cases(attacks.items()):
        outcome = rig.meet(home, spec_of(certificate, **fields), run=("list",), called=called)
        rig.expect(
            not outcome.exposed and outcome.verdict in {"rejected", "failed"},
            f"{called} gets no password",
            f"{outcome.verdict}: {', '.join(sorted(outcome.exposed)) or 'nothing was exposed'}",
        )


def anonymous_protected(rig: Rig) -> None:
    """Try a login and an anonymous login on the genuine server."""
    certificate = own()
    home = rig.pinned(certificate)
    rig.accepts(home, certificate, run=("list",))
    outcome = rig.meet(
        home, spec_of(certificate), run=("list", "get"), user="anonymous", called="the server, with an anonymous login"
    )
    rig.expect(
        not outcome.exposed,
        "an anonymous login uses TLS, or is refused",
        f"in clear: {', '.join(sorted(outcome.exposed))}",
    )


def hosts_kept_apart(rig: Rig) -> None:
    """Pin two hosts; then let each present the other's certificate."""
    first, second = own(HOST), own(OTHER)
    home = rig.pinned(first)
    rig.serve(second, host=OTHER)
    ran = rig.pin(home, OTHER)
    rig.expect(ran.ok, "exit code 0 for a second host", ran.ended)
    rig.accepts(home, first, run=("list",), called=f"{HOST} with its own certificate")
    rig.accepts(home, second, host=OTHER, run=("list",), called=f"{OTHER} with its own certificate")
    said = _OTHER_HOSTS.search(ran.output) is not None
    for host, certificate, whose in ((HOST, second, OTHER), (OTHER, first, HOST)):
        called = f"{host} with the certificate of {whose}"
        outcome = rig.meet(home, spec_of(certificate, role="impostor"), host=host, run=("list",), called=called)
        rig.expect(
            not outcome.exposed or said,
            f"{called} is refused, or the tool says that a pin also applies to other hosts",
            "lftp accepts it, and the tool does not say so",
        )


def chain_works(rig: Rig) -> None:
    """Try a leaf with its authority: lftp must accept it, and so must OpenSSL."""
    root = authority()
    leaf = issued(root)
    home = rig.home()
    rig.serve(leaf, chain=(root,))
    ran = rig.pin(home)
    rig.accepts(home, leaf, run=("list",), called="a server that sends its authority too", chain=(root,))
    problem = _openssl_refuses(rig, home, leaf, root)
    rig.expect(
        not problem or b"openssl" in ran.output.lower(),
        "OpenSSL accepts the server with this pin, or the tool says that lftp built with OpenSSL does not",
        f"OpenSSL says: {problem}",
    )


def _openssl_refuses(rig: Rig, home: Home, leaf: Certificate, *sent: Certificate) -> str:
    """OpenSSL's error for a leaf and its chain, since lftp may be built with OpenSSL; empty if it accepts them."""
    named = rig.settings(home, "ssl:ca-file").get("ssl:ca-file", {})
    store = crypto.X509Store()
    for value in named.values():
        path = rig.outside(home, Path(value))
        data = path.read_bytes() if path is not None and path.is_file() else b""
        for block in _PEM.findall(data):
            store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, block))
    if not any(named.values()):
        return ""  # pinned by fingerprint: no chain to build
    try:
        chain = [crypto.X509.from_cryptography(each.x509) for each in sent]
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(leaf.x509), chain).verify_certificate()
    except crypto.X509StoreContextError as error:
        return str(error)
    return ""


def says_store_replaced(rig: Rig) -> None:
    """Try another host, with a certificate from an authority in the system's trust store, before and after."""
    public = issued(rig.place.authority, OTHER)
    rig.serve(public, host=OTHER)
    rig.accepts(
        rig.home(), public, host=OTHER, run=("list",), called="another host that the system trusts, before pinning"
    )
    home = rig.home()
    rig.serve(own())
    ran = rig.pin(home)
    outcome = rig.meet(home, spec_of(public), host=OTHER, run=("list",), called="the same host, after pinning")
    rig.expect(
        outcome.verdict == "accepted" or _OTHER_HOSTS.search(ran.output) is not None,
        "other hosts work as before, or the tool says that `ssl:ca-file` replaces the trust store for all of them",
        f"{outcome.verdict}, and the tool does not mention other hosts",
    )
