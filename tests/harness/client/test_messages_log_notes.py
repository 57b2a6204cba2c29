"""Complaints only in lftp's debug log are kept, shown and compared with `message`, but have no reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.client.messages import is_about_setup, log_notes, words

if TYPE_CHECKING:
    from tests.harness.conftest import Play

RECORDINGS = sorted((Path(__file__).parents[2] / "recordings").glob("*.json"))

TYPO = "gnutls_priority_set_direct(`NORMAL:-VERS-ALL:+VERS-TLSv1.3'): The request is invalid."
ORDINARY_LOG = b"""\
[7] ---- Connecting to localhost (127.0.0.1) port 2121
[7] <--- 220 gnutls_priority_set_direct: says the server
[7] ---> AUTH TLS
[7] Loaded 1 CAs
[7] Loaded 0 CRLs
[7] Certificate: CN=localhost
[7]  Issued by: CN=localhost
[7]   Trusted
[7] initialized translation from UTF-8 to ANSI_X3.4-1968//TRANSLIT
[7] copy: put rolled back to 16384, seeking get accordingly
[7] ---- Got EOF on data connection
[7] ERROR: Certificate verification: Not trusted (AA)
[7] **** Certificate verification: Not trusted (AA)
"""


def test_ordinary_log_has_no_notes() -> None:
    assert log_notes(ORDINARY_LOG, b"") == ()
    assert log_notes(b"", b"") == ()


def test_forged_complaint_in_a_reply_is_not_a_note() -> None:
    """It follows a bare LF, with no number or with a number that is not the process's."""
    assert log_notes(f"[7] <--- 220 x\n{TYPO}\n[8] {TYPO}\n".encode(), b"") == ()


@pytest.mark.parametrize(
    ("line", "of_setup"),
    [
        (TYPO, True),
        ("gnutls_certificate_set_x509_key_file(a,b): The request is invalid.", True),
        ("/x/crl.pem: No such file or directory", True),
        ("a line that nobody has met yet", True),
        ("WARNING: Certificate verification: hostname checking disabled", False),
        ("**** Timeout - reconnecting", False),
        ("---- Address returned by PASV seemed to be incorrect and has been fixed", False),
    ],
)
def test_repeated_complaint_is_one_note(line: str, *, of_setup: bool) -> None:
    assert log_notes(ORDINARY_LOG + f"[7] {line}\n[7] {line}\n".encode(), b"") == (line,)
    assert is_about_setup(line) is of_setup


def test_complaint_that_is_also_on_stderr_is_not_a_note() -> None:
    log = b"[7] **** gnutls_handshake: A TLS fatal alert has been received.\n"
    assert log_notes(log, b"ls: Fatal error: gnutls_handshake: A TLS fatal alert has been received.\n") == ()
    assert log_notes(log, b"ls: Fatal error: max-retries exceeded\n") != ()


def test_complaint_has_no_reason_and_is_escaped() -> None:
    log = f"[7] {TYPO}\x1b[2J\n".encode()
    assert words(b"", log, "status") == ()
    assert log_notes(log, b"") == (TYPO + "\\x1b[2J",)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_logs_have_no_unknown_setup_complaints(path: Path) -> None:
    """The recorded builds logged other things too: their set-up, a broken connection, a switched-off check."""
    for case in json.loads(path.read_text("utf-8"))["cases"]:
        found = log_notes("\n".join(case["log"]).encode(), case["stderr"].encode())
        strange = [each for each in found if is_about_setup(each) and "crl" not in each]
        assert strange == [], case["case"]


def test_expected_message_may_be_a_log_note(play: Play) -> None:
    """The report of a step that fails for another reason shows the complaints too."""
    if play.client.dialect == "openssl":
        pytest.skip("builds with OpenSSL know no such line")
    rc = play.pin + 'set ssl:priority "NORMAL:-VERS-ALL:+VERS-TLSv1.3"\n'
    message = 'message = "gnutls_priority_set_direct(`NORMAL:"'
    result = play(
        play.step(f'verdict = "accepted"\n{message}', rc=rc),
        play.step(f'verdict = "accepted"\n{message}', title="with a right one"),
    )
    assert [step.status for step in result.steps] == ["pass", "fail"]
    assert TYPO in result.steps[0].shown.client.log_notes
