"""Everything that `ftps-lab verify` can find: one record for each kind, and the findings of one subject. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity = Literal["error", "warning", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""The most severe first."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding.

    Attributes:
        id: Stable: other programs rely on it.
        severity: The severity, unless a finding sets another.
        title: What is wrong, in one sentence.
        cure: What to do.
    """

    id: str
    severity: Severity
    title: str
    cure: str


_PIN = 'Pin the server\'s certificate (`set ssl:ca-file "~/.lftp/server.crt"`) and delete lines that switch checks off.'
_NO_LINE = "No rc line prevents this; docs/hardening.md says what does."

KINDS: Final[Mapping[str, Kind]] = {
    kind.id: kind
    for kind in (
        Kind("no-verification", "error", "An impostor with the same name gets the password or exchanges files.", _PIN),
        Kind(
            "wrong-name-accepted",
            "error",
            "lftp accepts a certificate from the same authority for another name.",
            "Delete the line that sets `ssl:check-hostname no`.",
        ),
        Kind(
            "expired-accepted",
            "warning",
            "lftp accepts an expired certificate, although it checks others.",
            "Delete the line that switches verification off for this host.",
        ),
        Kind(
            "tls-not-required",
            "error",
            "If TLS is refused or broken, the password is sent in clear.",
            "Add `set ftp:ssl-force yes`.",
        ),
        Kind(
            "login-in-clear",
            "error",
            "The password goes to the genuine server in clear.",
            "Delete the line that sets `ftp:ssl-allow no`, and add `set ftp:ssl-force yes`.",
        ),
        Kind(
            "data-in-clear",
            "error",
            "A listing or file goes to the genuine server in clear.",
            "Add `set ftp:ssl-protect-data yes` and `set ftp:ssl-protect-list yes`; delete `ftps:initial-prot`.",
        ),
        Kind(
            "control-in-clear",
            "warning",
            "After the login, commands and file names are sent in clear (CCC).",
            "Delete the line that sets `ftp:ssl-use-ccc yes`.",
        ),
        Kind(
            "anonymous-in-clear",
            "note",
            "An anonymous login transfers files in clear, and every login without a password is anonymous.",
            "Add `set ftp:ssl-allow-anonymous yes`.",
        ),
        Kind(
            "password-before-verification",
            "error",
            "The password is sent before the certificate is checked.",
            "Delete the lines that set `ftp:sync-mode off` and `ftp:skey-allow no`.",
        ),
        Kind("genuine-refused", "error", "The setup refuses its own server.", "Fetch and pin the certificate again."),
        Kind(
            "pin-depends-on-folder",
            "error",
            "Whether lftp finds the pin depends on the working directory.",
            "Give `ssl:ca-file` a path that begins with `~` or `/`.",
        ),
        Kind(
            "pin-expired",
            "error",
            "A pinned certificate has expired.",
            "Renew the server's certificate, and pin the new one.",
        ),
        Kind(
            "pin-expires",
            "warning",
            "A pinned certificate expires soon.",
            "Renew the server's certificate, and pin the new one.",
        ),
        Kind(
            "pin-private-key",
            "error",
            "A pin file contains a private key.",
            "Remove the key from the file; if it was the server's, replace the key and the certificate.",
        ),
        Kind(
            "pin-permissions",
            "error",
            "Others can write to a pin file or its folder.",
            "Run `chmod go-w` on the file and the folder.",
        ),
        Kind(
            "pin-weak",
            "warning",
            "A pinned certificate has a weak key or signature.",
            "Give the server an EC key, or an RSA key of at least 2048 bits, and a SHA-256 signature.",
        ),
        Kind(
            "rc-permissions",
            "error",
            "Others can write to the rc, or to a file that it reads.",
            "Run `chmod go-w` on the file.",
        ),
        Kind(
            "old-certificate-trusted",
            "note",
            "The pin file also contains an older certificate, which lftp still trusts.",
            "Delete the certificate that the server no longer uses.",
        ),
        Kind(
            "pin-is-authority",
            "note",
            "The pin is an authority: lftp trusts every certificate that it signs for this name.",
            "To trust only the server's own certificate, pin that one instead.",
        ),
        Kind(
            "secret-exposed-locally",
            "warning",
            "Other users of this machine can read a password.",
            "Keep the password in ~/.netrc or a bookmark with mode 0600, not on a command line.",
        ),
        Kind(
            "rc-complaint",
            "warning",
            "lftp complained about a line, ignored it, or reads it differently from how it looks.",
            "Correct the line; `lftp -c set` prints what lftp understood.",
        ),
        Kind(
            "runs-commands",
            "warning",
            "The rc runs shell commands.",
            "Delete the line, or move the commands to a separate script.",
        ),
        Kind(
            "connects-by-itself",
            "warning",
            "The rc opens a connection of its own.",
            "Move `open` and transfers from the rc into a script.",
        ),
        Kind(
            "leads-elsewhere",
            "error",
            "A proxy, dns setting, alias, bookmark or `open` leads the session to another host or port.",
            "Delete the line that leads there.",
        ),
        Kind("prot-refused", "note", "A server or attacker that refuses PROT P gets files in clear.", _NO_LINE),
        Kind(
            "tls12-data",
            "note",
            "With TLS 1.2, an impostor on the data connection exchanges data before lftp refuses it.",
            'With GnuTLS builds, add `set ssl:priority "NORMAL:-VERS-ALL:+VERS-TLS1.3"`.',
        ),
        Kind(
            "upload-before-verification",
            "note",
            "An impostor on the data connection gets the beginning of an upload before lftp refuses it.",
            _NO_LINE,
        ),
        Kind(
            "nothing-proved",
            "error",
            "The setup never logged in to the genuine server, so nothing can be concluded.",
            "Check `--host`, `--user` and the setup, then run this again.",
        ),
    )
}
"""Finding id → its kind, in the order of docs/verify.md."""


@dataclass(frozen=True, slots=True)
class Where:
    """A line of a file; `line` counts from 1."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The attack, and what it exposed.

    Attributes:
        attack: The trial's name.
        exposed: ``password``, ``payload``.
        to: ``impostor``, ``wire``.
        times: In how many runs this happened.
        of: The number of runs.
        again: The command that reproduces it.
    """

    attack: str
    exposed: tuple[str, ...]
    to: tuple[str, ...]
    times: int
    of: int
    again: str


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a finding is ignored, and until when (RFC 3339 date; None for always)."""

    reason: str
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        id: A key of `KINDS`.
        title: What is wrong here; the kind's title if no more is known.
        severity: The kind's severity, or another one in this case.
        where: The line that is responsible; None if no line is.
        proof: The trial that showed it; None if the files alone show it.
        cure: What to do.
        suppressed: Set if the user decided to ignore it.
    """

    id: str
    title: str
    severity: Severity
    where: Where | None = None
    proof: Proof | None = None
    cure: str | None = None
    suppressed: Suppression | None = None


def finding(
    kind: str,
    detail: str = "",
    *,
    severity: Severity | None = None,
    where: Where | None = None,
    proof: Proof | None = None,
) -> Finding:
    """Make a finding of a kind.

    Args:
        kind: A key of `KINDS`.
        detail: More about this case, as a sentence that follows the kind's title.
        severity: None for the kind's severity.
        where: The line that is responsible.
        proof: The trial that showed it.
    """
    record = KINDS[kind]
    title = f"{record.title} {detail}".rstrip()
    return Finding(record.id, title, severity or record.severity, where, proof, record.cure)


def at_least(severity: Severity, limit: Severity) -> bool:
    """Whether a severity reaches the limit."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(limit)
