"""Checks what lftp trusts after the tool has run."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.certificates import HOST, KINDS, OTHER, authority, issued, own, twin
from ftps_harness.pinning.rig import spec_of
from ftps_lab.certificates import CertificateSpec, issue

if TYPE_CHECKING:
    from ftps_harness.pinning.rig import Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.certificates import Certificate

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_SWITCHES: Final = (
    "set ssl:verify-certificate no",
    "set ssl:verify-certificate/* off",
    f"set ssl:verify-certificate/{HOST} no",
    "set ssl:verify no",
)

_DIGESTS: Final = re.compile(rb"[0-9A-Fa-f]{2}(?:[: -]?[0-9A-Fa-f]{2}){7,}")

_SWITCH_WRITTEN: Final = re.compile(
    rb"""^(?![ \t]*\#).*\bssl:verify\S*?(?<!(?::[0-9A-Fa-f]{2}){5})["']?[ \t=]+["']?(?:no|off|false|n|f|0)\b""",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that switches verification off, except for the certificate with a fingerprint."""

_NO: Final = re.compile(r"[nNfF0-]|[oO][fF]")
"""How lftp reads a boolean that is off (docs/lftp.md)."""


def connects(rig: Rig) -> None:
    """Try each kind of key, and each folder to start in."""
    for key in rig.cases(KINDS):
        certificate = own(key=key)
        home = rig.pinned(certificate)
        rig.accepts(home, certificate, called=f"the genuine server ({key}), from HOME")
        if key == KINDS[0]:
            rig.accepts(
                home, certificate, cwd="elsewhere", run=("list",), called="the genuine server, from another folder"
            )
            rig.accepts(home, certificate, cwd="lftp", run=("list",), called="the genuine server, from ~/.lftp")


def impostor_refused(rig: Rig) -> None:
    """Expect that lftp accepts the genuine server, and no server with another key."""
    for key in rig.cases(KINDS):
        certificate = own(key=key)
        home = rig.pinned(certificate)
        rig.accepts(home, certificate, run=("list",))
        copy = twin(certificate)
        rig.refuses(home, copy, called=f"an impostor with the same fields and another key ({key})")
        if key == KINDS[0]:
            _trusts_only(rig, home, certificate)
            rig.refuses(home, own(), called="an impostor with its own certificate for the same name")
            data = spec_of(certificate, data_certificate=copy, tls=("1.3",))
            outcome = rig.meet(home, data, run=("list",), called="the server with an impostor on its data connections")
            rig.expect(
                outcome.verdict == "rejected" and not outcome.exposed,
                "lftp refuses another certificate on the data connection",
                outcome.verdict,
            )


def verification_on(rig: Rig) -> None:
    """Check a new HOME, and HOMEs where verification was switched off in several ways."""
    certificate = own()
    home = rig.pinned(certificate)
    _verifies(rig, "verification is on for every host", home, certificate)
    _writes_no_switch(rig)
    rig.refuses(home, own(OTHER), host=OTHER, called="an impostor of another host")
    for line in rig.cases(_SWITCHES):
        home = rig.home({".lftp/rc": f"{line}\n".encode()})
        rig.serve(certificate)
        ran = rig.pin(home)
        if ran.ok:
            _verifies(rig, f"`{line}` is removed, or reported with a non-zero exit code", home, certificate)
            rig.refuses(home, twin(certificate), called=f"an impostor, after the rc had `{line}`")
        else:
            rig.expect(bool(ran.output.strip()), f"a message that says why: the rc has `{line}`", "it printed nothing")


def _writes_no_switch(rig: Rig) -> None:
    """Expect no such line in any file that the last run wrote: lftp might read it, or a shell (as an alias of lftp)."""
    ran = rig.log.last
    assert ran is not None
    before, after = ran.before.files(), ran.after.files()
    written = [path for path, data in after.items() if data != before.get(path) and _SWITCH_WRITTEN.search(data)]
    rig.expect(
        not written, "no file that the tool wrote switches verification off", f"switched off in {', '.join(written)}"
    )


def _verifies(rig: Rig, expected: str, home: Home, certificate: Certificate) -> None:
    """Expect that verification is on, except for the pinned certificate's fingerprint."""
    values = rig.settings(home, "ssl:verify-certificate").get("ssl:verify-certificate", {})
    off = [name or "every host" for name, value in values.items() if _NO.match(value) and name != certificate.sha1]
    rig.expect("" in values and not off, expected, f"verification is off for {', '.join(off)}" if off else "it is on")


def _trusts_only(rig: Rig, home: Home, certificate: Certificate) -> None:
    """Expect no certificate in the pin file but the server's: whoever has the key of another one is an impostor."""
    named = rig.settings(home, "ssl:ca-file").get("ssl:ca-file", {}).get("", "")
    path = rig.outside(home, Path(named)) if named.startswith("/") else None
    if path is None or not path.is_file():
        return  # another check reports a pin that lftp does not find
    found = {ssl.PEM_cert_to_DER_cert(each.decode("ascii", "replace")) for each in _PEM.findall(path.read_bytes())}
    rig.expect(
        found <= {certificate.der},
        "lftp trusts no certificate that the server did not show",
        f"{named} has {len(found - {certificate.der})} more",
    )


def name_check_on(rig: Rig) -> None:
    """Try a certificate with the right name, and one with another name."""
    home = rig.pinned(own())
    off = _unnamed(rig, home)
    rig.expect(not off, "host name checking stays on", f"off for {', '.join(off)}")
    home = rig.home()
    certificate = own("somebody-else.example")
    rig.serve(certificate)
    ran = rig.pin(home)
    off = _unnamed(rig, home)
    rig.expect(set(off) <= {HOST}, "with a certificate for another name, the check is off for this host at most",
               f"off for {', '.join(off)}")  # fmt: skip
    rig.refuses(home, twin(certificate), called="an impostor instead of the server with another name")
    if off:
        rig.expect(
            b"name" in ran.output.lower() or b"check-hostname" in ran.output,
            "the tool says so",
            "it does not mention the name",
        )


def _unnamed(rig: Rig, home: Home) -> list[str]:
    """The hosts for which the name check is off."""
    values = rig.settings(home, "ssl:check-hostname").get("ssl:check-hostname", {})
    return [name or "every host" for name, value in values.items() if _NO.match(value)]


def authority_not_trusted(rig: Rig) -> None:
    """Let the server send its authority too, and then present another leaf of that authority."""
    root = authority()
    leaf = issued(root)
    home = rig.home()
    rig.serve(leaf, chain=(root,))
    ran = rig.pin(home)
    sibling = issued(root)
    outcome = rig.meet(
        home,
        spec_of(sibling, role="impostor", chain=(root,)),
        run=("list",),
        called="an impostor with another certificate of the same authority",
    )
    said = names_authority(ran.output)
    rig.expect(
        not outcome.exposed or said,
        "another certificate of the same authority is refused, or the tool says that it pinned an authority",
        "lftp accepts it, and the tool does not mention an authority",
    )


def names_authority(output: bytes) -> bool:
    """Whether a tool mentions an authority; CA inside a fingerprint does not count."""
    return re.search(rb"authority|\bCA\b|issuer|root certificate", _DIGESTS.sub(b"", output)) is not None


def usable_or_reported(rig: Rig) -> None:
    """Try certificates that lftp refuses even if pinned, and expect that the tool's exit code says so."""
    usual = CertificateSpec(common_name=HOST, names=(HOST,))
    from msgspec.structs import replace

    cases = {
        "another name": own("somebody-else.example"),
        "expired": issue({"own": replace(usual, not_before="-30d", not_after="-1d")})["own"],
        "not yet valid": issue({"own": replace(usual, not_before="+2d", not_after="+30d")})["own"],
    }
    for what, certificate in rig.cases(cases.items()):
        home = rig.home()
        rig.serve(certificate)
        ran = rig.pin(home)
        outcome = rig.meet(home, spec_of(certificate), run=("list",), called=f"the server ({what})")
        rig.expect(
            outcome.verdict == "accepted" or not ran.ok,
            f"a certificate that lftp refuses ({what}) is reported with a non-zero exit code",
            f"{ran.ended}; lftp: {outcome.verdict}",
        )
        rig.refuses(home, twin(certificate), called=f"an impostor instead of the server ({what})")
        if not ran.ok:
            rig.expect(bool(ran.output.strip()), "a message that says why", "it printed nothing")
