"""Ready-made scripts: a table of what a client may meet, with one sentence for each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_lab.errors import LabError
from ftps_lab.scripted import texts
from ftps_lab.scripted.steps import (
    Answer,
    Close,
    Receive,
    Repeat,
    Reset,
    Script,
    Send,
    StartTls,
    Step,
    Wait,
    expect,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_lab.certificates import Certificate

Scripts = tuple[Script, ...]

BANNER_BYTES: Final = 10_000_000
CHAIN_LENGTH: Final = 1000
DRIP_SECONDS: Final = 0.3
PIECE_SECONDS: Final = 0.003
ENDLESS: Final = 1 << 40
"""Bytes: more than a server ever sends one at a time."""

_AUTH: Final[Script] = (Send(texts.GREETING), expect("AUTH"))
_TO_HELLO: Final[Script] = (*_AUTH, Send(texts.AUTH_ACCEPTED), Receive())
_BANNER_LINE: Final = b"220-" + b"This is a very long greeting. " * 2 + b"\r\n"


@dataclass(frozen=True, slots=True)
class Peer:
    """A row of the table.

    Attributes:
        name: Its key in `PEERS`.
        what: One sentence that says what a client meets.
        certificates: How many certificates `scripts` takes.
    """

    name: str
    what: str
    certificates: int
    build: Callable[..., Scripts]

    def scripts(self, *certificates: Certificate) -> Scripts:
        """The scripts, for `ScriptedServer`.

        Raises:
            LabError: The number of certificates is wrong.
        """
        if len(certificates) != self.certificates:
            raise LabError(
                f"{self.name} needs {self.certificates} certificates, not {len(certificates)}: see `Peer.certificates`"
            )
        return self.build(*certificates)


def ftps(
    certificate: Certificate,
    *greeting: Step,
    chain: tuple[Certificate, ...] | None = None,
    versions: tuple[str, ...] = ("1.2", "1.3"),
) -> Script:
    """An explicit FTPS server that shows a certificate, obeys AUTH, PBSZ, PROT and QUIT, and refuses all logins.

    Args:
        certificate: The leaf that it shows.
        greeting: The steps of its greeting; none for the usual 220.
        chain: Certificates sent after the leaf; None for those above it.
        versions: The TLS versions offered.
    """
    before = Answer(texts.BEFORE_TLS, otherwise=texts.WANTS_TLS, until="AUTH")
    tls = StartTls(certificate, chain, versions)
    return (*(greeting or (Send(texts.GREETING),)), before, Send(texts.AUTH_ACCEPTED), tls, Answer(texts.IN_TLS))


def implicit(certificate: Certificate, *greeting: Step) -> Script:
    """An implicit FTPS server: like `ftps`, but TLS first and the greeting inside."""
    return (StartTls(certificate), *(greeting or (Send(texts.GREETING),)), Answer(texts.IN_TLS))


def plain_ftp(refusal: bytes) -> Scripts:
    """Plain FTP that accepts every login; the reply to AUTH is `refusal`, a complete line."""
    return ((Send(texts.GREETING), Answer(texts.PLAIN | {"AUTH": refusal})),)


def hostile_greeting(certificate: Certificate, text: bytes) -> Scripts:
    """An explicit FTPS server with attacker-supplied text in its greeting, and in its replies in TLS."""
    one_line = text.replace(b"\n", b" ") + b"\r\n"
    greeting = Send(b"220-" + text + b"\r\n220 " + one_line)
    replies = {verb: b"%s %s" % (reply[:3], one_line) for verb, reply in texts.IN_TLS.items()}
    return ((*ftps(certificate, greeting)[:-1], Answer(replies, otherwise=b"502 " + one_line)),)


def hostile_refusal(text: bytes) -> Scripts:
    """Plain FTP that answers AUTH with attacker-supplied text."""
    one_line = text.replace(b"\n", b" ") + b"\r\n"
    return plain_ftp(b"534-" + text + b"\r\n534 " + one_line)


def _two_faces(first: Certificate, second: Certificate) -> Scripts:
    return (ftps(first), ftps(second))


def _long_chain(certificate: Certificate, sent_after: Certificate) -> Scripts:
    return (ftps(certificate, chain=(sent_after,) * CHAIN_LENGTH),)


def _garbage(size: int) -> bytes:
    """Bytes that look random but are the same in every run."""
    return b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(size // 32))


def _fixed(*steps: Step) -> Callable[[], Scripts]:
    return lambda: (steps,)


def _greeting(*steps: Step) -> Callable[[Certificate], Scripts]:
    return lambda certificate: (ftps(certificate, *steps),)


def _drip(data: bytes) -> Repeat:
    return Repeat(data, ENDLESS, piece=1, every=DRIP_SECONDS)


_ROWS: Final = (
    Peer(
        "plain-ftp",
        "an FTP server without TLS answers AUTH with 502 and accepts every login",
        0,
        lambda: plain_ftp(b"502 Command not implemented.\r\n"),
    ),
    Peer(
        "plain-ftp-500",
        "an FTP server without TLS answers AUTH with 500 and accepts every login",
        0,
        lambda: plain_ftp(b"500 'AUTH TLS': command not understood.\r\n"),
    ),
    Peer(
        "plain-ftp-534",
        "a server answers AUTH with 534 and accepts every login",
        0,
        lambda: plain_ftp(b"534 Policy requires no TLS.\r\n"),
    ),
    Peer(
        "auth-refused",
        "a server answers AUTH with 530 and accepts every login",
        0,
        lambda: plain_ftp(b"530 Please login with USER and PASS first.\r\n"),
    ),
    Peer(
        "tls-alert",
        "after 234, the server answers the ClientHello with a fatal alert",
        0,
        _fixed(*_TO_HELLO, Send(texts.HANDSHAKE_FAILURE), Close()),
    ),
    Peer(
        "tls-closed", "after 234 and the ClientHello, the server closes the connection", 0, _fixed(*_TO_HELLO, Close())
    ),
    Peer(
        "tls-reset", "after 234 and the ClientHello, the server resets the connection", 0, _fixed(*_TO_HELLO, Reset())
    ),
    Peer(
        "tls-text",
        "after 234, the server answers the ClientHello with a reply in clear, and accepts every login",
        0,
        _fixed(*_TO_HELLO, Send(texts.TLS_IN_CLEAR), Answer(texts.PLAIN)),
    ),
    Peer(
        "http",
        "a web server answers any input with 400, and also half a second of silence",
        0,
        _fixed(Receive(0.5), Send(texts.HTTP_400), Close()),
    ),
    Peer("garbage", "64 KiB of random bytes instead of a greeting", 0, _fixed(Send(_garbage(65536)), Close())),
    Peer(
        "garbage-in-tls",
        "after 234, the server answers the ClientHello with 64 KiB of random bytes",
        0,
        _fixed(*_TO_HELLO, Send(_garbage(65536)), Close()),
    ),
    Peer("empty", "the server closes every connection at once", 0, _fixed(Close())),
    Peer("reset", "the server resets every connection at once", 0, _fixed(Reset())),
    Peer(
        "not-available",
        "the server greets with 421 and closes the connection",
        0,
        _fixed(Send(b"421 Service not available.\r\n"), Close()),
    ),
    Peer("silent", "the server accepts connections and stays silent", 0, _fixed(Wait())),
    Peer("silent-after-220", "the server is silent after the greeting", 0, _fixed(Send(texts.GREETING), Wait())),
    Peer(
        "silent-after-234",
        "after 234, the server reads the ClientHello and stays silent",
        0,
        _fixed(*_AUTH, Send(texts.AUTH_ACCEPTED), Wait()),
    ),
    Peer(
        "silent-in-handshake",
        "after 234, the handshake stops in the middle of a record",
        0,
        _fixed(*_TO_HELLO, Send(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + _garbage(1024)), Wait()),
    ),
    Peer(
        "silent-in-tls",
        "the server is silent after the TLS handshake",
        1,
        lambda certificate: ((*ftps(certificate)[:-1], Wait()),),
    ),
    Peer(
        "silent-in-tls-implicit",
        "implicit FTPS without a greeting",
        1,
        lambda certificate: ((StartTls(certificate), Wait()),),
    ),
    Peer("drip", f"an endless greeting, one byte every {DRIP_SECONDS} s", 0, _fixed(_drip(_BANNER_LINE))),
    Peer(
        "drip-reply",
        f"an endless reply to AUTH, one byte every {DRIP_SECONDS} s",
        0,
        _fixed(*_AUTH, _drip(b"234-Not yet.\r\n")),
    ),
    Peer(
        "drip-in-handshake",
        f"after 234, an endless handshake record, one byte every {DRIP_SECONDS} s",
        0,
        _fixed(*_TO_HELLO, Send(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"), _drip(_garbage(16384))),
    ),
    Peer(
        "drip-in-tls",
        f"after the handshake, an endless reply, one byte every {DRIP_SECONDS} s",
        1,
        lambda certificate: ((*ftps(certificate)[:-1], _drip(b"220-Not yet.\r\n")),),
    ),
    Peer(
        "big-banner",
        "10 MB of greeting lines, then silence: the greeting never ends",
        0,
        _fixed(Repeat(_BANNER_LINE, BANNER_BYTES), Wait()),
    ),
    Peer(
        "big-line",
        "10 MB of one greeting line, then silence: the line never ends",
        0,
        _fixed(Send(b"220 "), Repeat(b"x", BANNER_BYTES), Wait()),
    ),
    Peer(
        "big-banner-ends",
        "10 MB of greeting lines, then an ordinary server",
        1,
        _greeting(Repeat(_BANNER_LINE, BANNER_BYTES // len(_BANNER_LINE) * len(_BANNER_LINE)), Send(texts.GREETING)),
    ),
    Peer("long-chain", f"the certificate, followed by {CHAIN_LENGTH} copies of another one", 2, _long_chain),
    Peer(
        "greeting-lines",
        "a greeting of several lines (RFC 959 section 4.2)",
        1,
        _greeting(Send(texts.LINES)),
    ),
    Peer(
        "greeting-numbers", "a greeting with lines that begin with other reply codes", 1, _greeting(Send(texts.NUMBERS))
    ),
    Peer(
        "greeting-pieces",
        "a greeting of several lines in segments of one byte",
        1,
        _greeting(Send(texts.PREFIXED, piece=1, every=PIECE_SECONDS)),
    ),
    Peer(
        "two-faces",
        "the server shows one certificate on the first connection, and another on every later one",
        2,
        _two_faces,
    ),
    *(
        Peer(
            f"hostile-greeting-{name}",
            f"a greeting with hostile text: {name}",
            1,
            lambda certificate, text=text: hostile_greeting(certificate, text),
        )
        for name, text in texts.HOSTILE_TEXT.items()
    ),
    *(
        Peer(
            f"hostile-refusal-{name}",
            f"a refusal of AUTH with hostile text: {name}",
            0,
            lambda text=text: hostile_refusal(text),
        )
        for name, text in texts.HOSTILE_TEXT.items()
    ),
)

PEERS: Final[dict[str, Peer]] = {peer.name: peer for peer in _ROWS}
"""The peers that a client may meet, by name."""
