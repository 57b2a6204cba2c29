"""Checks a tool's behaviour when a server's certificate changes, and what it shows of the certificate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.pinning.certificates import KINDS, authority, issued, own, renewed, twin

if TYPE_CHECKING:
    from ftps_harness.pinning.rig import Rig
    from ftps_lab.certificates import Certificate


def change_refused(rig: Rig) -> None:
    """Try the same subject and serial with another key, for each kind of key; standard input is at its end."""
    for key in rig.cases(KINDS):
        old = own(key=key)
        home = rig.pinned(old)
        new = twin(old)
        rig.serve(new)
        ran = rig.pin(home)
        rig.expect(not ran.ok, f"a non-zero exit code: the certificate has changed ({key})", ran.ended)
        rig.accepts(home, old, run=("list",), called="the server with its old certificate")
        rig.refuses(home, new, called="a server with the changed certificate")


def repin(rig: Rig) -> None:
    """Replace a pin on request, but not if the server cannot be reached."""
    old, new = own(), own()
    home = rig.pinned(old)
    rig.serve(new)
    ran = rig.pin(home, how="repin")
    rig.expect(ran.ok, "exit code 0", ran.ended)
    rig.protects(home, new, called="the server with its new certificate")
    rig.refuses(home, old, called="a server with the old certificate")
    home = rig.pinned(old)
    ran = rig.pin(home, port=rig.unused_port, how="repin")
    rig.expect(not ran.ok, "a non-zero exit code: nothing listens on that port", ran.ended)
    rig.accepts(home, old, run=("list",), called="the server with its old certificate")


def fingerprint_shown(rig: Rig) -> None:
    """Accept any common spelling: upper or lower case, with or without colons."""
    for key in rig.cases(KINDS):
        certificate = own(key=key)
        home = rig.home()
        rig.serve(certificate)
        ran = rig.pin(home)
        rig.expect(
            shows(ran.output, certificate),
            f"the output has the SHA-256 fingerprint {certificate.sha256}",
            "it does not",
        )
    for root in rig.cases((authority(),)):
        _shown_of_a_chain(rig, issued(root), root)


def _shown_of_a_chain(rig: Rig, leaf: Certificate, root: Certificate) -> None:
    """Let the server send its authority too: the tool must show the one of the two that it stores."""
    home = rig.home()
    rig.serve(leaf, chain=(root,))
    ran = rig.pin(home)
    stored = [each for each in (leaf, root) if any(holds(data, each) for data in ran.after.files("").values())]
    unseen = [each.sha256 for each in stored if not shows(ran.output, each)]
    rig.expect(
        not ran.ok or not unseen,
        "the output has the SHA-256 fingerprint of each stored certificate, if the server sends its authority too",
        f"missing: {', '.join(unseen)}",
    )


def holds(data: bytes, certificate: Certificate) -> bool:
    """Whether a file holds a certificate, or the fingerprint that lftp accepts instead."""
    body = b"".join(certificate.pem.split()[2:-2])
    return body in b"".join(data.split()) or certificate.sha1.encode() in data


def shows(output: bytes, certificate: Certificate) -> bool:
    """Whether an output has a certificate's SHA-256 fingerprint."""
    wanted = certificate.sha256.replace(":", "").lower().encode()
    return wanted in re.sub(rb"[:\s-]", b"", output).lower()


def fingerprint_expected(rig: Rig) -> None:
    """Expect a pin if the fingerprint matches, and no write if it does not."""
    certificate = own()
    home = rig.home()
    rig.serve(certificate)
    ran = rig.pin(home, how="fingerprint", sha256=certificate.sha256)
    rig.expect(ran.ok, "exit code 0: the fingerprint matches the certificate", ran.ended)
    rig.protects(home, certificate)
    home = rig.home()
    rig.serve(twin(certificate))
    ran = rig.pin(home, how="fingerprint", sha256=certificate.sha256)
    rig.expect(not ran.ok, "a non-zero exit code: the fingerprint belongs to another certificate", ran.ended)
    rig.expect(ran.untouched, "nothing is written", ran.changed)


def renewal_reported(rig: Rig) -> None:
    """Try a new certificate with the same key, and one with another key, and compare the tool's messages."""
    old = own()
    home = rig.pinned(old)
    rig.serve(renewed(old))
    renewal = rig.pin(rig.copy(home))
    rig.serve(twin(old))
    change = rig.pin(rig.copy(home))
    said = re.compile(rb"renew|same (public )?key|key (is|has) (the same|not changed)", re.IGNORECASE)
    rig.expect(said.search(renewal.output) is not None, "the tool says that the key is unchanged", "it does not say so")
    rig.expect(
        said.search(change.output) is None,
        "a certificate with another key is not reported as a renewal",
        "the tool reports one",
    )
