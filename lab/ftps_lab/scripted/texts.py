"""What scripted servers send: ordinary replies and hostile text."""

from __future__ import annotations

from typing import Final

GREETING: Final = b"220 ftps-lab ready.\r\n"
AUTH_ACCEPTED: Final = b"234 AUTH TLS successful.\r\n"
GOODBYE: Final = b"221 Goodbye.\r\n"

IN_TLS: Final = {
    "USER": b"331 Username ok, send password.\r\n",
    "PASS": b"530 Login incorrect.\r\n",
    "PBSZ": b"200 PBSZ=0 successful.\r\n",
    "PROT": b"200 Protection set.\r\n",
    "FEAT": b"211-Features supported:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n UTF8\r\n211 End FEAT.\r\n",
    "OPTS": b"200 OK.\r\n",
    "NOOP": b"200 OK.\r\n",
    "SYST": b"215 UNIX Type: L8\r\n",
    "QUIT": GOODBYE,
}
"""Replies of a server after its handshake. It refuses every login, so there is nothing to list."""

BEFORE_TLS: Final = {"FEAT": IN_TLS["FEAT"], "SYST": IN_TLS["SYST"], "NOOP": IN_TLS["NOOP"], "QUIT": GOODBYE}
"""Replies of the same server before AUTH; it demands TLS."""

WANTS_TLS: Final = b"550 SSL/TLS required on the control channel.\r\n"

PLAIN: Final = {
    "USER": b"331 Username ok, send password.\r\n",
    "PASS": b"230 Logged in.\r\n",
    "FEAT": b"211-Features supported:\r\n UTF8\r\n211 End FEAT.\r\n",
    "PWD": b'257 "/" is the current directory.\r\n',
    "TYPE": b"200 Type set.\r\n",
    "NOOP": IN_TLS["NOOP"],
    "SYST": IN_TLS["SYST"],
    "QUIT": GOODBYE,
}
"""Replies of a server without TLS, which accepts every login."""

HTTP_400: Final = (
    b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 26\r\n"
    b"Connection: close\r\n\r\n<html>Bad Request.</html>\r\n"
)

HANDSHAKE_FAILURE: Final = b"\x15\x03\x03\x00\x02\x02\x28"
"""A fatal alert handshake_failure(40) in a record of its own (RFC 8446 section 6.2)."""

TLS_IN_CLEAR: Final = b"454 TLS is not available at the moment.\r\n"

LINES: Final = (
    b"220-Welcome to the backup server.\r\n"
    b"220-\r\n"
    b"\r\n"
    b"Files are kept for 30 days.\r\n"
    b"  331 a line that begins with a number stands behind blanks (RFC 959 section 4.2)\r\n"
    b"220 ready\r\n"
)

PREFIXED: Final = b"220-Welcome to the backup server.\r\n220-Files are kept for 30 days.\r\n220 ready\r\n"
"""Several lines, each with its code. `openssl s_client -starttls ftp` takes an empty line, or one with another code,
for the end of the greeting, and fails unless the rest arrived in the same segment (measured on 3.0.22)."""

NUMBERS: Final = b"220-Welcome to the backup server.\r\n331 is another number\r\n530 and one more\r\n220 ready\r\n"
"""A client must skip lines with other codes (RFC 959 section 4.2), though no server should send them."""

MARK: Final = "ftps-lab-was-here"
"""The file that a command in the hostile text creates if anything runs it."""

HOSTILE_TEXT: Final[dict[str, bytes]] = {
    "command": f"$(touch {MARK})`touch {MARK}`;touch {MARK}|touch {MARK}&&touch {MARK}\n!touch {MARK}\n".encode(),
    "quotes": f'ready"; touch {MARK}; "'.encode(),
    "single": f"ready'; touch {MARK}; '".encode(),
    "backslash": b"ready\\",
    "setting": b"ready\nset ssl:verify-certificate no\nset ftp:ssl-force no\n",
    "pem": b"ready\n-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n",
    "escapes": b"\x1b[2J\x1b[31m\x1b]0;title\x07\x1b]52;c;dG91Y2g=\x07\x9b31m\x08\x08\r\x7f",
    "nul": b"before\0after\0",
    "bytes": bytes(range(128, 256)),
    "format": b"%s%n%x%p {0} ${HOME} %(name)s",
    "long": b"A" * 65536,
}
"""Hostile text by its content. Where text is sent unchanged, a newline in it starts a new line."""
