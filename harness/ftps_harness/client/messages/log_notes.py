"""lftp's complaints that appear only in its debug log.

lftp drops an `ssl:priority` with a typo as a whole, and does not use a client key that does not match: standard error
stays empty, the exit code is 0, and the only trace is a line in the debug log. Such lines are notes: kept, shown and
compared with `message`, never judged.

Every line that is not known to be harmless counts (lftp 4.9.3, src/*.cc, every call of `Log` and `LogError` at level 9
or below; measured on the six builds' recordings): a line that has never been seen before must not go unnoticed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.client.messages.words import readable, readable_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRAFFIC = ("---> ", "<--- ", "+--> ", "<--+ ", "<--* ")
"""lftp's commands, and the replies of a server or proxy."""

_NOTE, _ERROR = "---- ", "**** "

_WEIGHTY = re.compile(
    r"Address returned by PASV .*|Switching (?:passive mode (?:on|off)|to NOREST mode)|Turning on sync-mode"
    r"|Setting ftp:use-stat-for-list to off|Server reply matched ftp:retry-530.*"
)
"""Notes in which lftp departs from its settings (src/ftpclass.cc); the other notes report normal operation."""

_COURSE = re.compile(
    r"Loaded \d+ CR?[AL]s|initialized translation from .*|running .*|ssl: applied .* option|ListInfo: .*"
    r"|copy: .*|rotating log .*|mkdir\(.*\): ok|Certificate: .*| Issued by: .*| Checking against: .*|  Trusted"
    r"|Certificate depth: .*|Certificate with serial .*|Certificate verification: .* matched"
    r"|gnutls_record_recv: .* Assuming EOF\.",
    re.DOTALL,
)
"""Entries without a mark that report normal operation, among them the certificate fields that lftp examines."""

_REFUSED = ("ERROR: Certificate verification: ", _ERROR + "Certificate verification: ")
"""`ftps_harness.client.messages.words` reads these."""

_SWITCHED_OFF = "WARNING: Certificate verification: "
"""Would have been a refusal if verification had not been switched off."""


def log_notes(log: bytes, stderr: bytes) -> tuple[str, ...]:
    """lftp's own complaints in the debug log, each once, control characters made visible.

    Lines that are on standard error too are left out, and so are refused certificates: those are lftp's words.

    Args:
        log: The debug log, with or without the process ID before each entry; empty if there is none.
        stderr: Standard error.
    """
    said = readable(stderr)
    found = dict.fromkeys(_complaints(log))
    return tuple(text for text in found if text.removeprefix(_ERROR) not in said)


def is_about_setup(note: str) -> bool:
    """Whether a line is about lftp's configuration, not about a connection or a certificate."""
    return not note.startswith((_ERROR, _NOTE, _SWITCHED_OFF))


def _complaints(log: bytes) -> Iterator[str]:
    for entry in readable_entries(log):
        if entry.startswith(_NOTE):
            counts = _WEIGHTY.fullmatch(entry.removeprefix(_NOTE)) is not None
        else:
            counts = not entry.startswith((*_TRAFFIC, *_REFUSED)) and not _COURSE.fullmatch(entry)
        if counts and entry.strip():
            yield entry
