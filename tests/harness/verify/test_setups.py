"""Setups, good and bad, each with exactly the findings that it must have."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ftps_harness.verify.base import Options
from ftps_harness.verify.subject import load
from ftps_harness.verify.trials import TRIALS
from ftps_harness.verify.verify import begin

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.verify.conftest import Check

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_lab.certificates import Certificate

IMPOSTOR = ("impostor-copy", "impostor-self-signed")
STRIP = ("refuse-auth-502", "break-handshake-close")
NAME = ("other-customer", "expired")
QUICK = ("impostor-copy", "refuse-auth-502", "other-customer", "expired")
"""One trial for each error that trust settings can cause."""

ONE = ("impostor-copy",)

PINNED = 'set ssl:ca-file "~/.lftp/server.crt"\n'
FORCED = "set ftp:ssl-force yes\n"
HARDENED = PINNED + FORCED + "set ftp:ssl-allow-anonymous yes\n"


@dataclass(frozen=True)
class Setup:
    """An rc, the trials, and the findings that it must have."""

    name: str
    rc: str | bytes
    found: frozenset[str]
    only: tuple[str, ...] = QUICK
    rc_name: str = ".lftp/rc"
    files: dict[str, bytes] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)


def _setup(name: str, rc: str | bytes, *found: str, **more: object) -> Setup:
    return Setup(name, rc, frozenset(found), **more)  # type: ignore[arg-type]


SETUPS = [
    # The document's three stages.
    _setup("nothing", "# nothing yet\n", "tls-not-required"),
    _setup("checks off", "set ssl:verify-certificate no\n", "no-verification", "tls-not-required"),
    _setup("pinned", PINNED, "tls-not-required"),
    _setup("pinned and TLS demanded", PINNED + FORCED),
    # Spellings of off: only the first letter counts.
    *(
        _setup(f"verification {word}", f"{FORCED}set ssl:verify-certificate {word}\n", "no-verification", only=ONE)
        for word in ("no", "No", "off", "false", "0", "never", "None", "nope", "-")
    ),
    *(
        _setup(f"verification {word}", f"{PINNED}{FORCED}set ssl:verify-certificate {word}\n", only=ONE)
        for word in ("yes", "on", "true", "1", "+")
    ),
    _setup("abbreviated", f"{FORCED}set ssl:verify-c no\n", "no-verification", only=ONE),
    _setup("without the class", f"{FORCED}set verify-certificate no\n", "no-verification", only=ONE),
    _setup("with an underscore", f"{FORCED}set ssl:verify_certificate no\n", "no-verification", only=ONE),
    _setup("SET in capitals", f"{FORCED}SET ssl:verify-certificate no\n", "no-verification", only=ONE),
    _setup("in quotes", f'{FORCED}set "ssl:verify-certificate" "no"\n', "no-verification", only=ONE),
    _setup("two commands in a line", f"{FORCED}set ssl:verify-certificate no; set net:timeout 5\n", "no-verification",
           only=ONE),
    _setup("in a sourced file", f"{FORCED}source ~/.lftp/more\n", "no-verification", only=ONE,
           files={".lftp/more": b"set ssl:verify-certificate no\n"}),
    _setup("by an alias", f"{FORCED}alias trust set ssl:verify-certificate no\ntrust\n", "no-verification", only=ONE),
    # On, then off, and the other way round.
    _setup("on, then off", f"{FORCED}set ssl:verify-certificate 1\nset ssl:verify-certificate 0\n", "no-verification",
           only=ONE),
    _setup("off, then on", f"{PINNED}{FORCED}set ssl:verify-certificate no\nset ssl:verify-certificate yes\n"),
    # Closures.
    _setup("off for this host", f"{FORCED}set ssl:verify-certificate/backup.example no\n", "no-verification", only=ONE),
    _setup("off for a pattern", f"{FORCED}set ssl:verify-certificate/*.example no\n", "no-verification", only=ONE,
           options={"host": "backup.example"}),
    _setup("off for another host", f"{PINNED}{FORCED}set ssl:verify-certificate/other.example no\n",
           options={"host": "backup.example"}),
    _setup("TLS demanded of another host", f"{PINNED}set ftp:ssl-force/other.example yes\n", "tls-not-required",
           options={"host": "backup.example"}),
    _setup("host names unchecked", f"{FORCED}set ssl:check-hostname no\n", "wrong-name-accepted"),
    _setup("host names unchecked beside a pin", f"{PINNED}{FORCED}set ssl:check-hostname no\n"),
    # TLS off.
    _setup("TLS switched off", f"{PINNED}{FORCED}set ftp:ssl-allow no\n", "login-in-clear", "data-in-clear"),
    _setup("TLS switched off for this host", f"{PINNED}{FORCED}set ftp:ssl-allow/backup.example no\n", "login-in-clear",
           "data-in-clear"),
    _setup("data in clear", f"{PINNED}{FORCED}set ftp:ssl-protect-data no\n", "data-in-clear"),
    _setup("force with an equals sign", f"{PINNED}set ftp:ssl-force = yes\n", "rc-complaint", "tls-not-required"),
    _setup("force without set", f"{PINNED}ftp:ssl-force yes\n", "rc-complaint", "tls-not-required"),
    _setup("a missing semicolon", f"{PINNED}set ssl:verify-certificate yes set ftp:ssl-force yes\n", "rc-complaint",
           "tls-not-required"),
    _setup("no blank lines, no final newline", (PINNED + FORCED).rstrip("\n")),
    _setup("CRLF line ends", (PINNED + FORCED).replace("\n", "\r\n")),
    _setup("password before verification", f"{PINNED}{FORCED}set ftp:sync-mode off\nset ftp:skey-allow no\n",
           "password-before-verification"),
    # Damaged files.
    _setup("byte-order mark", b"\xef\xbb\xbf" + FORCED.encode() + PINNED.encode(), "rc-complaint", "tls-not-required"),
    _setup("NUL byte", PINNED.encode() + b"\0\n" + FORCED.encode(), "rc-complaint", "tls-not-required"),
    _setup("CR alone", (PINNED + FORCED).replace("\n", "\r").encode(), "rc-complaint", "tls-not-required",
           "genuine-refused"),
    _setup("UTF-16", (PINNED + FORCED).encode("utf-16"), "rc-complaint", "tls-not-required"),
    _setup("a comment of its own ends in a backslash", f"{PINNED}# TLS, always \\\n{FORCED}"),
    _setup("a comment behind a setting ends in a backslash", f"{PINNED.strip()} # my pin \\\n{FORCED}", "rc-complaint",
           "tls-not-required", "genuine-refused"),
    # Pins.
    _setup("pin missing", 'set ssl:ca-file "~/.lftp/none.crt"\n' + FORCED, "genuine-refused", "rc-complaint"),
    _setup("pin empty", 'set ssl:ca-file "~/.lftp/empty.crt"\n' + FORCED, "genuine-refused",
           files={".lftp/empty.crt": b""}),
    _setup("pin by fingerprint", "set ssl:verify-certificate/"
           "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01 no\n" + FORCED),
    _setup("pin by fingerprint in lower case", "set ssl:verify-certificate/"
           "ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01 no\n" + FORCED, "genuine-refused"),
    _setup("a missing pin changes nothing", f'{PINNED}set ssl:ca-file "~/.lftp/none.crt"\n{FORCED}', "rc-complaint"),
    _setup("a later pin wins", f'{PINNED}set ssl:ca-file "~/.lftp/empty.crt"\n{FORCED}', "genuine-refused",
           files={".lftp/empty.crt": b""}),
    # Files that lftp reads.
    _setup("~/.lftprc", PINNED + FORCED, rc_name=".lftprc"),
    _setup("XDG", 'set ssl:ca-file "~/.config/lftp/server.crt"\n' + FORCED, rc_name=".config/lftp/rc"),
    # Lines that an rc should not have.
    _setup("runs a command", f"{PINNED}{FORCED}!echo hello\n", "runs-commands"),
    _setup("connects by itself", f"{PINNED}{FORCED}open ftp://other.example\n", "connects-by-itself", "rc-complaint"),
    _setup("a proxy", f"{PINNED}{FORCED}set ftp:proxy ftp://proxy.example\n", "leads-elsewhere", "nothing-proved"),
    _setup("another address", f"{PINNED}{FORCED}set dns:name/backup.example 192.0.2.7\n", "leads-elsewhere",
           "nothing-proved", only=("anonymous",)),
    _setup("implicit", PINNED, options={"protocol": "implicit"}),
    _setup("implicit, verification off", "set ssl:verify-certificate no\n", "no-verification",
           options={"protocol": "implicit"}),
    _setup("anonymous", PINNED + FORCED, "anonymous-in-clear", only=("anonymous",), options={"user": "anonymous"}),
]  # fmt: skip


@pytest.mark.parametrize("setup", SETUPS, ids=[each.name for each in SETUPS])
@pytest.mark.long
def test_setup_has_exactly_these_findings(setup: Setup, check: Check) -> None:
    report = check(setup.rc, setup.files, rc_name=setup.rc_name, only=setup.only, **setup.options)
    errors = {each.id for each in report.findings if each.severity != "note"}
    told = "\n".join(f"{each.severity} {each.id}: {each.title}" for each in report.findings)
    assert report.broken == (), told
    assert errors == setup.found, told
    assert report.safe is not bool(setup.found)


@pytest.mark.parametrize(
    ("rc", "found"), [(FORCED, set()), (f"{FORCED}set ssl:check-hostname no\n", {"wrong-name-accepted"})]
)
def test_trials_on_a_second_stage_reach_the_same_verdicts(
    rc: str, found: set[str], places: SealedPlaces, client: Lftp, tmp_path: Path
) -> None:
    """The genuine server is accepted there too; without a pin, through the same authority in the trust store."""
    (tmp_path / "rc").write_text(rc)
    options = Options(only=frozenset({"other-customer", "expired", "refuse-prot"}))
    subject = load(str(tmp_path / "rc"), tmp_path)
    with begin(subject, client, places, options) as verification, ExitStack() as stack:
        stack.enter_context(verification._stage())
        report = verification.report([verification.play(trial) for trial in verification.trials])
    assert report.broken == ()
    assert {each.id for each in report.findings if each.severity != "note"} == found
    tried = {each.trial.name: each for each in report.tried}
    assert "expired" in tried["expired"].outcomes[0].reasons
    assert tried["refuse-prot"].exposed == {"payload"}


def test_hardened_rc_is_safe_in_all_trials(check: Check) -> None:
    """Every trial runs, except the two that need an authority instead of a pin."""
    report = check(HARDENED + 'set ssl:priority "NORMAL:-VERS-ALL:+VERS-TLS1.3"\n')
    assert report.safe
    assert {each.id for each in report.findings} <= {"prot-refused", "upload-before-verification"}
    names = {each.trial.name for each in report.tried}
    assert names == {"genuine", *(trial.name for trial in TRIALS if not trial.later)} - {"other-customer", "expired"}


@pytest.mark.parametrize(
    ("pin", "host", "why"),
    [
        (b"", "backup.example", "server.crt: the file is empty."),
        (b"no certificate", "backup.example", "server.crt: the file contains no certificate."),
        ("der", "backup.example", "server.crt: the file is DER, but lftp reads only PEM."),
        ("pem", "other.example", "server.crt: the certificate is for backup.example, not for other.example."),
    ],
)
def test_refusal_of_the_genuine_server_explains_the_defect_of_the_pin(
    pin: bytes | str, host: str, why: str, check: Check, server_certificate: Certificate
) -> None:
    data = {"der": server_certificate.der, "pem": server_certificate.pem}[pin] if isinstance(pin, str) else pin
    report = check(PINNED + FORCED, {".lftp/server.crt": data}, only=("expired",), host=host)
    [found] = [each for each in report.findings if each.id == "genuine-refused"]
    assert why in found.title
