"""What each lftp dialect prints, and the reason that it means. Pure: bytes in, words out.

`tables` holds the messages of the dialects, each row with the build it was measured on or its place in the source;
`words` reads standard error and the debug log; `log_notes` reads lines that only the debug log has and that are not
refusals; `fingerprints` reads the certificates that the log names.
"""

from ftps_harness.client.messages.fingerprints import named_certificates
from ftps_harness.client.messages.log_notes import is_about_setup, log_notes
from ftps_harness.client.messages.words import (
    Word,
    complaints,
    connects,
    entries,
    further,
    notes,
    readable,
    sent,
    tried,
    words,
)

__all__ = [
    "Word",
    "complaints",
    "connects",
    "entries",
    "further",
    "is_about_setup",
    "log_notes",
    "named_certificates",
    "notes",
    "readable",
    "sent",
    "tried",
    "words",
]
