"""Read lftp's words in standard error and in its debug log.

A word is something that lftp itself reports. A server can insert text of its own; these rules keep it from being taken
for lftp's (lftp 4.9.3, src/ftpclass.cc and src/log.cc; measured on every build at hand by
`tests/harness/client/test_lftp_hostile.py`):

* For lftp a reply ends at CRLF, so it may contain a bare CR and a bare LF. On standard error lftp joins the lines of a
  reply with blanks, after its own ``Login failed: 530``: only LF ends a line here, and text that begins with a reply
  code is the server's. In the log lftp writes a bare LF unchanged: there, each entry begins with the process ID
  (``debug -p``), and a line without it continues the previous entry.
* lftp prints names from listings and from PWD after its own words. A name that makes a line look like a refusal still
  fails the next rule.
* If there is a log, a certificate refusal on standard error must be in the log too; and a line in the log's format with
  another process ID is an attempted forgery. Both count as unknown words.

Text that no table has is `unknown`, never a reason.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftps_harness.client.messages.local import HARMLESS, LOCAL, LOOKUP
from ftps_harness.client.messages.tables import CERTIFICATE, CLASSES, STATUS_SENTENCES, Kind, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Word:
    """One message of lftp.

    Attributes:
        text: The whole line, control characters made visible.
        reasons: Why lftp refused (docs/reference.md, "Reasons"); empty unless `kind` is ``reason``.
        kind: ``reason``: a refusal; ``login``: the server refused the user; ``access``: the server refused a command;
            ``retries``: lftp gave up trying; ``failure``: a known failure that is not a refusal; ``local``: lftp could
            not run a command here; ``lookup``: it did not find or reach the server that a command names;
            ``unknown``: in no table.
        fingerprint: SHA-1 of the refused certificate, upper case with colons, if lftp names it.
        doubt: What is wrong with an ``unknown`` word, as part of a sentence.
    """

    text: str
    reasons: frozenset[str]
    kind: Kind
    fingerprint: str | None = None
    doubt: str = ""


_ERRORS = re.compile(rf"(?:[\w.-]+: (?:.*?: )??)?({'|'.join(CLASSES)}): (.*)", re.DOTALL)
"""The command, for some commands a file name, and the error. A name may contain anything: the first class counts, and
its text must match to the end of the line."""
_MARKERS = re.compile(rf"(?:{'|'.join(CLASSES)}):")
_CERTIFICATE = "Certificate verification: "
_FINGERPRINT = re.compile(r"(.*?) \(((?:[0-9A-F]{2}:){19}[0-9A-F]{2})\)", re.DOTALL)
_LOGGED = "ERROR: " + _CERTIFICATE
_SENT = re.compile(rb"---> ([A-Z]+)")
_CONNECTS = re.compile(r"---- Connecting to .* \(.*\) port (\d+)")
_NUMBER = re.compile(rb"\[\d+\] ")
_OF_ONE_CHECK = re.compile(
    r"(?:ERROR|WARNING): Certificate verification: .*|Certificate verification: .* matched"
    r"|Certificate: .*| Issued by: .*| Checking against: .*|  Trusted|Certificate depth: .*|Certificate with serial .*",
    re.DOTALL,
)
"""lftp's log while it verifies one chain: no other entry may come between two findings about it."""


_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]+")

_REMEMBERED = 1 << 20
"""Size in bytes of the largest log whose entries are cached: each log is queried several times."""


def words(stderr: bytes, log: bytes, dialect: str) -> tuple[Word, ...]:
    """lftp's words about refusals and failures, each once: first from standard error, then those that only the log has.

    The old GnuTLS verification and OpenSSL builds continue after the first failure and log each finding. lftp refuses
    because of the first one (`lftp_ssl_base::set_cert_error`), so that one counts here too: the result is the same
    whether the refusal is read from standard error or, if it is hidden there, from the log. `further` returns the
    others.

    Args:
        stderr: Standard error.
        log: The debug log, with or without the process ID before each entry; empty if there is none.
        dialect: ``classic``, ``status`` or ``openssl``.
    """
    logged = [check[0] for check in _checks(log)]
    said = [_line(line, dialect) for line in _lines(stderr) if _MARKERS.search(line)]
    if log:
        known = {_inner(line) for line in logged}
        said = [_confirmed(word, known) for word in said]
    shown = {_inner(word.text) for word in said}
    hidden = [_refusal(line, _inner(line), dialect) for line in logged if _inner(line) not in shown]
    return tuple(dict.fromkeys([*said, *hidden, *_attempts(log)]))


def further(log: bytes, dialect: str) -> tuple[Word, ...]:
    """The log's findings about a certificate besides the one that lftp refused it for; evidence, never a verdict."""
    return tuple(dict.fromkeys(_refusal(line, _inner(line), dialect) for check in _checks(log) for line in check[1:]))


def notes(stderr: bytes) -> tuple[str, ...]:
    """The other lines of standard error, control characters made visible."""
    return tuple(line for line in _lines(stderr) if line and not _MARKERS.search(line))


def complaints(stderr: bytes) -> tuple[Word, ...]:
    """lftp's messages about commands that it could not run, each once: the notes without the harmless ones.

    A line that no table has is ``unknown``: it may come from lftp or from a program that a command ran.
    """
    return tuple(dict.fromkeys(_complaint(line) for line in _lines(stderr) if line and not _is_harmless(line)))


def entries(log: bytes) -> tuple[bytes, ...]:
    """lftp's own entries of a debug log, without the process ID.

    Lines without the process ID belong to the previous entry and stay in it, after their LF. The first line is always
    lftp's own, because lftp writes it before it connects. In a log without process IDs, each line is an entry.
    """
    return _remembered(log) if len(log) <= _REMEMBERED else _entries(log)


def readable_entries(log: bytes) -> tuple[str, ...]:
    """The same, `readable`."""
    return _remembered_text(log) if len(log) <= _REMEMBERED else tuple(map(readable, _entries(log)))


def _entries(log: bytes) -> tuple[bytes, ...]:
    lines = log.removesuffix(b"\n").split(b"\n") if log else []
    number = _NUMBER.match(lines[0]) if lines else None
    if number is None:
        return tuple(lines)
    own = number[0]
    found: list[bytes] = []
    for line in lines:
        if line.startswith(own):
            found.append(line.removeprefix(own))
        else:
            found[-1] += b"\n" + line
    return tuple(found)


_remembered = functools.lru_cache(maxsize=16)(_entries)


@functools.lru_cache(maxsize=16)
def _remembered_text(log: bytes) -> tuple[str, ...]:
    return tuple(map(readable, entries(log)))


def sent(log: bytes) -> tuple[str, ...]:
    """The verbs of the FTP commands that lftp logged as sent, in order."""
    return tuple(found[1].decode("ascii") for entry in entries(log) if (found := _SENT.match(entry)))


def tried(log: bytes) -> bool:
    """Whether lftp tried to connect to a server."""
    return any(entry.startswith(b"---- Connecting to ") for entry in entries(log))


def connects(log: bytes) -> tuple[int, ...]:
    """The ports of lftp's control connections from its debug log, one for each attempt."""
    found = (_CONNECTS.fullmatch(readable(entry)) for entry in entries(log))
    return tuple(int(match[1]) for match in found if match)


def readable(data: bytes) -> str:
    """Text with every control character and every byte that is not UTF-8 made visible: safe on a terminal."""
    text = data.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else _CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _lines(data: bytes) -> list[str]:
    """Lines as lftp ends them: at LF only."""
    return [readable(line) for line in data.removesuffix(b"\n").split(b"\n")] if data else []


def _line(line: str, dialect: str) -> Word:
    """The word in a line of standard error that names one of lftp's classes of errors."""
    match = _ERRORS.fullmatch(line)
    if match is None:
        return Word(line, frozenset(), "unknown", doubt="it does not have the form of an lftp error")
    if match[1] == "Fatal error" and match[2].startswith(_CERTIFICATE):
        return _refusal(line, match[2].removeprefix(_CERTIFICATE), dialect)
    for kind, rows in CLASSES[match[1]].items():
        for row in rows:
            if row.matches(match[2]):
                return Word(line, row.meaning, kind)
    return Word(line, frozenset(), "unknown", doubt="no dialect's table has it")


def _is_harmless(line: str) -> bool:
    """Whether a line does not say if a command succeeded, or has one of lftp's classes of errors, judged elsewhere."""
    if any(row.matches(line) for row in LOOKUP):
        return False
    return bool(_MARKERS.search(line)) or any(row.matches(line) for row in HARMLESS)


def _complaint(line: str) -> Word:
    tables: dict[Kind, tuple[Row, ...]] = {"lookup": LOOKUP, "local": LOCAL}
    kinds = (kind for kind, rows in tables.items() if any(row.matches(line) for row in rows))
    if kind := next(kinds, None):
        return Word(line, frozenset(), kind)
    return Word(line, frozenset(), "unknown", doubt="the table of complaints lacks it")


def _refusal(line: str, said: str, dialect: str) -> Word:
    """A refused certificate: the message about it, and its fingerprint."""
    match = _FINGERPRINT.fullmatch(said)
    text, fingerprint = (match[1], match[2]) if match else (said, None)
    reasons = _reasons(text, dialect)
    if reasons is None:
        return Word(line, frozenset(), "unknown", fingerprint, f"the table of the dialect {dialect} lacks it")
    return Word(line, reasons, "reason", fingerprint)


def _reasons(text: str, dialect: str) -> frozenset[str] | None:
    """The reasons that a text states; None if no table has it."""
    for row in CERTIFICATE[dialect]:
        if row.matches(text):
            return row.meaning
    return _sentences(text) if dialect == "status" else None


def _sentences(text: str) -> frozenset[str] | None:
    """The reasons in a sequence of the library's sentences; None if it contains anything else."""
    reasons: set[str] = set()
    rest = text.rstrip(" ") + " "
    while rest:
        row = next((row for row in STATUS_SENTENCES if re.match(row.text, rest)), None)
        if row is None:
            return None
        reasons |= row.meaning
        rest = rest[_length(row, rest) :]
    return frozenset(reasons or {"untrusted"})  # "NOT trusted" without another sentence


def _length(row: Row, text: str) -> int:
    match = re.match(row.text, text)
    return match.end() if match else 0


def _checks(log: bytes) -> Iterator[list[str]]:
    """The log's findings about certificates, in groups: one for each verification of a chain."""
    findings: list[str] = []
    for entry in readable_entries(log):
        if findings and not _OF_ONE_CHECK.fullmatch(entry):
            yield findings
            findings = []
        elif entry.startswith(_LOGGED):
            findings.append(entry)
    if findings:
        yield findings


def _inner(line: str) -> str:
    """The message about the certificate, however the line begins."""
    return line.partition(_CERTIFICATE)[2].rstrip()


def _confirmed(word: Word, logged: set[str]) -> Word:
    """The word, or a doubt about it if it refuses a certificate that the log does not mention."""
    if word.kind == "reason" and _CERTIFICATE in word.text and _inner(word.text) not in logged:
        return replace(word, kind="unknown", reasons=frozenset(), doubt="it is missing from lftp's debug log")
    return word


def _attempts(log: bytes) -> Iterable[Word]:
    """Lines within entries that look like an entry about a certificate, with another process ID."""
    for entry in entries(log):
        for line in entry.split(b"\n")[1:]:
            if _NUMBER.match(line) and _CERTIFICATE.encode() in line:
                text = readable(line)
                yield Word(text, frozenset(), "unknown", doubt="a server's reply imitates lftp's debug log with it")
