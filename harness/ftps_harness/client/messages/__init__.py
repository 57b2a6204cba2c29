"""What each lftp dialect prints, and which reason that is. Pure: bytes in, words out.

`tables` holds what the dialects print, each row with the build it was measured on or the source it stands in; `words`
reads standard error and the debug log; `log_notes` reads what stands in the debug log alone and is no refusal;
`fingerprints` the certificates that the log names.
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
