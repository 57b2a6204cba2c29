"""What lftp complains of in its debug log alone.

An `ssl:priority` with a typing error is dropped whole, and a client key that does not fit is not used: standard error
stays empty, the exit code is 0, and the only trace is a line of the debug log. Such lines are notes: kept, shown and
compared with `message`, never judged.

Everything that is not known to be harmless counts (lftp 4.9.3, src/*.cc, every call of `Log` and `LogError` at level 9
or below; measured on the six builds' recordings): a line that nobody has met yet must not go unseen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.client.messages.words import readable, readable_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRAFFIC = ("---> ", "<--- ", "+--> ", "<--+ ", "<--* ")
"""What lftp sends, and what a server or proxy answers."""

_NOTE, _ERROR = "---- ", "**** "

_WEIGHTY = re.compile(
    r"Address returned by PASV .*|Switching (?:passive mode (?:on|off)|to NOREST mode)|Turning on sync-mode"
    r"|Setting ftp:use-stat-for-list to off|Server reply matched ftp:retry-530.*"
)
"""Notes in which lftp does otherwise than the settings say (src/ftpclass.cc); the rest tell of the usual course."""

_COURSE = re.compile(
    r"Loaded \d+ CR?[AL]s|initialized translation from .*|running .*|ssl: applied .* option|ListInfo: .*"
    r"|copy: .*|rotating log .*|mkdir\(.*\): ok|Certificate: .*| Issued by: .*| Checking against: .*|  Trusted"
    r"|Certificate depth: .*|Certificate with serial .*|Certificate verification: .* matched"
    r"|gnutls_record_recv: .* Assuming EOF\.",
    re.DOTALL,
)
"""Entries without a mark that tell of the usual course, what is looked at in a certificate among them."""

_REFUSED = ("ERROR: Certificate verification: ", _ERROR + "Certificate verification: ")
"""`ftps_harness.client.messages.words` reads these."""

_SWITCHED_OFF = "WARNING: Certificate verification: "
"""What would have been a refusal, had verification not been switched off."""


def log_notes(log: bytes, stderr: bytes) -> tuple[str, ...]:
    """lftp's own lines of complaint in the debug log, each once, control characters made visible.

    What standard error holds too is left out, and so are refused certificates: they are lftp's words.

    Args:
        log: The debug log, with or without the process's number before each entry; empty when there is none.
        stderr: Standard error.
    """
    said = readable(stderr)
    found = dict.fromkeys(_complaints(log))
    return tuple(text for text in found if text.removeprefix(_ERROR) not in said)


def is_about_setup(note: str) -> bool:
    """Whether it is about what lftp was set up with, not about a connection or a certificate."""
    return not note.startswith((_ERROR, _NOTE, _SWITCHED_OFF))


def _complaints(log: bytes) -> Iterator[str]:
    for entry in readable_entries(log):
        if entry.startswith(_NOTE):
            counts = _WEIGHTY.fullmatch(entry.removeprefix(_NOTE)) is not None
        else:
            counts = not entry.startswith((*_TRAFFIC, *_REFUSED)) and not _COURSE.fullmatch(entry)
        if counts and entry.strip():
            yield entry
