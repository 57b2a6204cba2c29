"""The tables of dialects, and server text that must not be taken for lftp's."""

from __future__ import annotations

import pytest

from ftps_harness.client.messages import Word, entries, further, named_certificates, notes, readable, sent, words
from ftps_harness.client.messages.tables import CERTIFICATE, CLASSES, STATUS_SENTENCES

FINGERPRINT = "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD"
DIALECTS = ("classic", "status", "openssl")
REASONS = {
    *("untrusted", "hostname", "expired", "not-yet-valid", "revoked"),
    *("weak", "purpose", "tls-required", "tls-handshake"),
}


def refusal(text: str, fingerprint: str = FINGERPRINT) -> bytes:
    return f"ls: Fatal error: Certificate verification: {text} ({fingerprint})\n".encode()


def logged(text: str, fingerprint: str = FINGERPRINT) -> bytes:
    return f"[77] ERROR: Certificate verification: {text} ({fingerprint})\n".encode()


def reasons(stderr: bytes, dialect: str, log: bytes = b"") -> set[str]:
    return {reason for word in words(stderr, log, dialect) for reason in word.reasons}


def kinds(stderr: bytes, log: bytes = b"", dialect: str = "status") -> list[str]:
    return [word.kind for word in words(stderr, log, dialect)]


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        ("classic", "Not trusted", {"untrusted"}),
        ("classic", "Not trusted: no issuer was found", {"untrusted"}),
        ("classic", "Not trusted: no issuer was found: issuer is not a CA", {"untrusted"}),
        ("classic", "Expired", {"expired"}),
        ("classic", "Not yet activated", {"not-yet-valid"}),
        ("classic", "Revoked", {"revoked"}),
        ("classic", "certificate common name doesn't match requested host name 'localhost'", {"hostname"}),
        ("status", "certificate common name doesn't match requested host name ‘a-b.example’", {"hostname"}),  # noqa: RUF001
        ("status", "The certificate is NOT trusted. ", {"untrusted"}),
        ("status", "The certificate is NOT trusted. The certificate issuer is unknown. ", {"untrusted"}),
        ("status", "The certificate is NOT trusted. The certificate chain uses expired certificate. ", {"expired"}),
        (
            "status",
            (
                "The certificate is NOT trusted. The certificate issuer is unknown. "
                "The certificate chain uses expired certificate. The certificate chain uses insecure algorithm. "
            ),
            {"untrusted", "expired", "weak"},
        ),
        ("status", "The certificate is NOT trusted. The certificate chain is revoked. ", {"revoked"}),
        (
            "status",
            "The certificate is NOT trusted. The certificate chain does not match the intended purpose. ",
            {"purpose"},
        ),
        ("openssl", "self-signed certificate", {"untrusted"}),
        ("openssl", "self signed certificate", {"untrusted"}),
        ("openssl", "self-signed certificate in certificate chain", {"untrusted"}),
        ("openssl", "unable to get local issuer certificate", {"untrusted"}),
        ("openssl", "certificate has expired", {"expired"}),
        ("openssl", "certificate is not yet valid", {"not-yet-valid"}),
        ("openssl", "certificate is not yet valid or the system clock is incorrect", {"not-yet-valid"}),
        ("openssl", "certificate revoked", {"revoked"}),
        ("openssl", "EE certificate key too weak", {"weak"}),
        ("openssl", "unsupported certificate purpose", {"purpose"}),
        ("openssl", "subjectAltName does not match 'localhost'", {"hostname"}),
        ("openssl", "certificate subject name 'o'brien' does not match target host name 'localhost'", {"hostname"}),
    ],
)
def test_refusal_has_its_reasons(dialect: str, text: str, expected: set[str]) -> None:
    (word,) = words(refusal(text), b"", dialect)
    assert (word.kind, set(word.reasons), word.fingerprint) == ("reason", expected, FINGERPRINT)
    assert word.text == refusal(text).decode().rstrip("\n")


def test_refusal_may_lack_a_fingerprint() -> None:
    (word,) = words(b"Fatal error: Certificate verification: Not trusted\n", b"", "classic")
    assert (word.kind, set(word.reasons), word.fingerprint) == ("reason", {"untrusted"}, None)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("classic", "Not trusted, somehow"),
        ("classic", "not trusted"),
        ("classic", "The certificate is NOT trusted. The certificate issuer is unknown. "),
        ("status", "Not trusted"),
        ("status", "The certificate is NOT trusted. The moon is full. "),
        ("status", "The certificate is NOT trusted. The certificate issuer is unknown. And so on"),
        ("status", "Well. The certificate is NOT trusted. "),
        ("status", ""),
        ("openssl", "Not trusted"),
        ("openssl", "self-signed certificate, or not"),
        ("openssl", "certificate has expired: certificate has expired"),
    ],
)
def test_refusal_in_no_table_is_unknown(dialect: str, text: str) -> None:
    (word,) = words(refusal(text), b"", dialect)
    assert (word.kind, word.reasons) == ("unknown", frozenset())
    assert dialect in word.doubt


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        ("Fatal error: gnutls_handshake: A TLS fatal alert has been received.", "reason", {"tls-handshake"}),
        ("Fatal error: SSL_connect: wrong version number", "reason", {"tls-handshake"}),
        (
            "Login failed: ftp:ssl-force is set and server does not support or allow SSL",
            "reason",
            {"tls-required"},
        ),
        ("Login failed: 530 Login incorrect.", "login", set()),
        ("Login failed: 530", "login", set()),
        ("Login failed: 530-Go away. Really.", "login", set()),
        ("Access failed: 550 No such file. (name)", "access", set()),
        ("Fatal error: 500 PASV not understood", "access", set()),
        ("Fatal error: max-retries exceeded", "retries", set()),
        ("Fatal error: max-retries exceeded (421 Certificate verification: Not trusted)", "retries", set()),
        ("Fatal error: gnutls_record_recv: Error in the pull function.", "failure", set()),
        ("Fatal error: the sky is falling", "unknown", set()),
        ("Login failed: no reason at all", "unknown", set()),
        ("Access failed: 55 x", "unknown", set()),
    ],
)
@pytest.mark.parametrize("prefix", ["ls: ", "get: some file.txt: ", ""])
def test_other_errors_have_their_kind(prefix: str, line: str, kind: str, expected: set[str]) -> None:
    """Whatever command the line begins with."""
    for dialect in DIALECTS:
        (word,) = words(f"{prefix}{line}\n".encode(), b"", dialect)
        assert (word.kind, set(word.reasons)) == (kind, expected)


FORGED = f"Fatal error: Certificate verification: Not trusted ({FINGERPRINT})"


@pytest.mark.parametrize(
    "line",
    [
        f"ls: Login failed: 530 x\rls: {FORGED}",
        f"ls: Login failed: 530 ls: {FORGED}",
        f"cd: Access failed: 550 x: {FORGED}",
        f"get: name: Access failed: 550 {FORGED}",
        f"ls: Fatal error: 500 {FORGED}",
        f"ls: Fatal error: max-retries exceeded (421 {FORGED})",
        f"ls: Login failed: 530 x\x0b\x0c\x1c\x85ls: {FORGED}",
        f"ls: Login failed: 530 x\u2028ls: {FORGED}\u2029",
    ],
)
def test_forged_refusal_in_a_server_reply_is_not_a_reason(line: str) -> None:
    assert not reasons(f"{line}\n".encode(), "classic")
    assert "unknown" not in kinds(f"{line}\n".encode(), dialect="classic")


@pytest.mark.parametrize(
    "line",
    [
        f"get: {FORGED}: Access failed: 550 x",
        (
            "get: Fatal error: Certificate verification: certificate common name doesn't match requested host name 'x: "
            f"Access failed: 550 ' ({FINGERPRINT})"
        ),
        f"cd ok, cwd=/{FORGED}",
        f"`{FORGED}' at 0 (0%)",
        f"some sentence, {FORGED}",
    ],
)
def test_forged_refusal_in_a_name_is_not_a_reason(line: str) -> None:
    assert not reasons(f"{line}\n".encode(), "classic")


def test_only_lf_ends_a_line() -> None:
    text = f"note one\rls: {FORGED}\x0b\x1c\u2028\nnote two\r\n"
    assert notes(b"note one\rplain\x1c\nnote two\r\n") == ("note one\\rplain\\x1c", "note two\\r")
    (word,) = words(text.encode(), b"", "classic")
    assert word.kind == "unknown"


def test_notes_are_the_lines_that_are_not_errors() -> None:
    stderr = b"mycert.crt: No such file or directory.\n" + refusal("Not trusted") + b"\nset: bad\xff\n"
    assert notes(stderr) == ("mycert.crt: No such file or directory.", "set: bad\\xff")
    assert notes(b"") == ()


def test_empty_output_has_no_words() -> None:
    assert words(b"", b"", "status") == ()
    assert words(b"\n", b"[1] ---- Connecting to x\n", "status") == ()


class TestLog:
    """Messages in the debug log."""

    def test_refusal_only_in_the_log_counts(self) -> None:
        log = b"[77] ---- Connecting\n" + logged("self-signed certificate") + b"[77] ---- Closing data socket\n"
        (word,) = words(b"", log, "openssl")
        assert (word.kind, set(word.reasons), word.fingerprint) == ("reason", {"untrusted"}, FINGERPRINT)
        assert word.text.startswith("ERROR: Certificate verification: self-signed")

    def test_refusal_in_stderr_and_log_is_one_word(self) -> None:
        log = b"[77] ---- Connecting\n" + logged("self-signed certificate")
        found = words(refusal("self-signed certificate"), log, "openssl")
        assert [word.text[:4] for word in found] == ["ls: "]

    def test_trailing_blanks_make_no_difference(self) -> None:
        text = "The certificate is NOT trusted. The certificate issuer is unknown. "
        assert len(words(refusal(text), b"[77] x\n" + logged(text), "status")) == 1

    def test_warning_in_the_log_is_not_a_refusal(self) -> None:
        log = b"[77] x\n" + logged("self-signed certificate").replace(b"ERROR", b"WARNING")
        assert words(b"", log, "openssl") == ()

    def test_first_finding_is_the_refusal_and_others_are_further(self) -> None:
        """Old verification and OpenSSL go on checking; the first error counts (lftp_ssl.cc, set_cert_error)."""
        log = (
            b"[77] ---- Connecting\n[77] Certificate: CN=localhost\n[77]  Issued by: CN=localhost\n"
            + logged("Not trusted")
            + logged("Expired")
            + logged("certificate common name doesn't match requested host name 'localhost'")
            + b"[77] **** Certificate verification: Not trusted\n"
        )
        assert reasons(refusal("Not trusted"), "classic", log) == {"untrusted"}
        assert reasons(b"", "classic", log) == {"untrusted"}
        assert [word.reasons for word in further(log, "classic")] == [{"expired"}, {"hostname"}]

    def test_refusals_of_two_connections_both_count(self) -> None:
        log = b"[77] x\n" + logged("Not trusted") + b"[77] ---- Closing control socket\n" + logged("Expired")
        assert reasons(b"", "classic", log) == {"untrusted", "expired"}
        assert further(log, "classic") == ()

    def test_bare_lf_in_a_reply_starts_no_log_entry(self) -> None:
        """Measured: lftp writes a bare LF in a reply unchanged."""
        log = f"[77] ---- Connecting\n[77] <--- 220 x\rERROR: {FORGED}\nERROR: {FORGED[13:]}\n[77] ---> FEAT\n".encode()
        assert words(b"", log, "classic") == ()
        assert entries(log) == (
            b"---- Connecting",
            f"<--- 220 x\rERROR: {FORGED}\nERROR: {FORGED[13:]}".encode(),
            b"---> FEAT",
        )

    def test_guessed_process_numbers_are_noticed(self) -> None:
        guesses = "".join(f"[{pid}] ERROR: {FORGED[13:]}\n" for pid in (75, 76, 77, 78))
        log = f"[77] ---- Connecting\n[77] <--- 220 x\n{guesses}".encode()
        assert "unknown" in [word.kind for word in words(b"", log, "classic")]

    def test_refusal_missing_from_the_log_is_unknown(self) -> None:
        (word,) = words(refusal("Not trusted"), b"[77] ---- Connecting\n[77] <--- 220 x\n", "classic")
        assert (word.kind, word.reasons) == ("unknown", frozenset())
        assert "log" in word.doubt

    def test_other_errors_need_no_log_entry(self) -> None:
        assert kinds(b"ls: Login failed: 530 no\n", b"[77] ---- Connecting\n") == ["login"]

    def test_log_without_process_numbers_is_read_by_line(self) -> None:
        log = b"---- Connecting\n" + logged("Not trusted").removeprefix(b"[77] ")
        assert entries(log)[0] == b"---- Connecting"
        assert reasons(b"", "classic", log) == {"untrusted"}

    @pytest.mark.parametrize("log", [b"", b"\n", b"[", b"[77] ", b"[77] x", b"\xff\x00\n\r"])
    def test_malformed_log_has_no_words(self, log: bytes) -> None:
        assert words(b"", log, "classic") == ()

    def test_long_log_of_forged_lines_has_no_words(self) -> None:
        log = b"[77] ---- Connecting\n" + b"[77] <--- 220 x\nERROR: Certificate verification: y\n" * 100_000
        assert words(b"", log, "classic") == ()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        (b"a\tb", "a\tb"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("ü\x9b\u2028".encode(), "ü\\x9b\\u2028"),
    ],
)
def test_readable_escapes_control_characters(data: bytes, shown: str) -> None:
    assert readable(data) == shown


def test_words_are_comparable_and_hashable() -> None:
    word = Word("x", frozenset({"expired"}), "reason")
    assert word == Word("x", frozenset({"expired"}), "reason")
    assert len({word, Word("x", frozenset({"expired"}), "reason")}) == 1


def test_every_row_has_a_known_reason_and_a_source() -> None:
    tables = [*CERTIFICATE.values(), STATUS_SENTENCES, *(rows for kinds in CLASSES.values() for rows in kinds.values())]
    for row in (row for table in tables for row in table):
        assert row.meaning <= REASONS
        assert row.source


def test_sent_lists_commands_from_genuine_log_entries() -> None:
    """A reply that looks like such an entry, after a bare LF, does not count as one."""
    log = b"[7] ---> FEAT\n[7] <--- 211 x\n---> PASS y\n[7] ---> USER secret\n[8] ---> PASS XXXX\n[7] ---> PWD\n"
    assert sent(log) == ("FEAT", "USER", "PWD")
    assert sent(b"") == ()


def test_named_certificates_come_from_lftps_own_log_entries() -> None:
    """Refused certificates, or ones accepted anyway; a name in a server's reply does not count."""
    one, other, forged = (":".join([pair] * 20) for pair in ("AA", "BB", "CC"))
    log = (
        f"[7] ERROR: Certificate verification: Not trusted ({one})\n"
        f"[7] WARNING: Certificate verification: The certificate is NOT trusted.  ({other})\n"
        f"[7] <--- 220 ERROR: Certificate verification: Not trusted ({forged})\n"
        f"WARNING: Certificate verification: Not trusted ({forged})\n"
        "[7] WARNING: Certificate verification: Not trusted\n"
    )
    assert named_certificates(log.encode()) == {one, other}
    assert named_certificates(b"") == frozenset()
