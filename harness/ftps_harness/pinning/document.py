"""The document's method as a tool under test: a script in place of a reader, and the requirements that it fails.

The lists say what the document leaves to its reader; a test compares them with real runs.
"""

from __future__ import annotations

from typing import Final

SCRIPT: Final = r"""#!/bin/sh
# The document, word for word, as a tool: what a reader does by hand, done by a script.
host=$1 port=$2

# "run the following command ... replace example.com with the host name of your ftp server and change the port number"
# "Copy the certificate ... and paste into a new file under ~/.lftp eg. mycert.crt"
mkdir -p ~/.lftp
openssl s_client -showcerts -connect "$host:$port" -starttls ftp </dev/null |
    sed -n '/-----BEGIN CERTIFICATE/,/-----END CERTIFICATE/p; /-----END CERTIFICATE/q' >~/.lftp/mycert.crt

# "create or edit a file named rc in the ~/.lftp file and add the line"
echo 'set ssl:ca-file "mycert.crt"' >>~/.lftp/rc
"""
"""`document.sh`. It runs again whenever the certificate changes."""

SCRIPT_WITH_PATH: Final = SCRIPT.replace('"mycert.crt"', '"~/.lftp/mycert.crt"')
"""The same with one correction; without it, lftp finds the pin only if started in one particular folder."""

FAILS_WITH_PATH: Final = (
    "verification-on",
    "usable-or-told",
    "change-refused",
    "repin",
    "fingerprint-shown",
    "one-look",
    "failure-writes-nothing",
    "bounded-time",
    "atomic",
    "concurrent-runs",
    "rc-preserved",
    "idempotent",
    "two-hosts",
    "opposing-lines",
    "private-files",
    "odd-paths",
    "hostile-text",
    "hostile-arguments",
    "hosts-kept-apart",
    "tls-demanded",
    "anonymous-protected",
    "chain-works",
    "store-replaced-told",
    "renewal-told",
    "implicit",
    "ipv6",
)
"""The requirements that `SCRIPT_WITH_PATH` fails."""

_BY_THE_PATH: Final = ("connects", "impostor-refused", "links-kept", "home-respected", "any-port", "greeting")

FAILS: Final = (*_BY_THE_PATH, *(each for each in FAILS_WITH_PATH if each != "store-replaced-told"))
"""The requirements that `SCRIPT` fails: if lftp misses the pin, it refuses the server and uses the system's store."""
