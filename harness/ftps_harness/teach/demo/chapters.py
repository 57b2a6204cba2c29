"""The chapters: the experiments, the reasons, the questions to the audience, and the required evidence.

Every `Claim` is checked against what client, server and wire recorded in that run: the answer of a chapter is printed
only if all of its claims hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ftps_lab.certificates import CertificateSpec, issue, twins
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_lab.certificates import Certificate

HOST: Final = "example.com"
"""The document's host."""
PIN: Final = "mycert.crt"
"""The file name that the document uses for the pin."""

VERIFY_OFF: Final = "set ssl:verify-certificate no\n"
PINNED: Final = f'set ssl:ca-file "~/.lftp/{PIN}"\n'
NAME_OFF: Final = f"{PINNED}set ssl:check-hostname no\n"
HARDENED: Final = f"{PINNED}set ftp:ssl-force yes\nset ftp:ssl-allow-anonymous yes\n"


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates of one demonstration; `new` makes them.

    Attributes:
        genuine: The server's certificate, self-signed, for the name that the learner types.
        copy: An impostor's: the same in every field except the key.
        other_name: Self-signed, for the provider's own host name.
        expired: The server's, one day after it expired.
        renewed: Its successor, with another key.
    """

    genuine: Certificate
    copy: Certificate
    other_name: Certificate
    expired: Certificate
    renewed: Certificate

    @classmethod
    def new(cls) -> Certificates:
        """Issue them; the keys stay in memory."""
        own = CertificateSpec(common_name=HOST, names=(HOST,))
        elsewhere = CertificateSpec(common_name="server7.hosting.example", names=("server7.hosting.example",))
        made = issue(
            {
                "genuine": own,
                "other_name": elsewhere,
                "expired": CertificateSpec(common_name=HOST, names=(HOST,), not_before="-366d", not_after="-1d"),
                "renewed": own,
            }
        )
        return cls(copy=twins({"copy": made["genuine"]})["copy"], **made)


@dataclass(frozen=True, slots=True)
class Claim:
    """The required evidence of one act.

    Attributes:
        login: The genuine server accepted the login and sent a listing.
        refused: Why lftp refused, in the harness's words (docs/reference.md, "Reasons"); empty if it did not.
        exposed: Each secret that reached a receiver who must not have it, with that receiver.
    """

    login: bool = False
    refused: frozenset[str] = frozenset()
    exposed: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Act:
    """One command, typed once.

    Attributes:
        server: Makes the server that answers as `HOST`.
        claim: The required evidence.
        rc: ``~/.lftp/rc``; None for no rc.
        pin: The content of ``~/.lftp/mycert.crt``; None for no such file.
        says: One introductory sentence; empty for none.
        fetches: Run the document's openssl command instead of lftp, and keep the certificate as the pin.
    """

    server: Callable[[Certificates], ServerSpec]
    claim: Claim
    rc: str | None = None
    pin: Callable[[Certificates], Certificate] | None = None
    says: str = ""
    fetches: bool = False


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter.

    Attributes:
        name: As typed: ``ftps-lab demo NAME``.
        title: Its heading.
        why: The experiment and its reason, in a few sentences.
        predict: The question to the audience before anything is typed.
        acts: The acts to play.
        answer: The observation and its meaning; every statement in it is one of the claims.
    """

    name: str
    title: str
    why: str
    predict: str
    acts: tuple[Act, ...]
    answer: str


def _genuine(certificates: Certificates) -> ServerSpec:
    return ServerSpec(certificate=certificates.genuine)


def _plain(_: Certificates) -> ServerSpec:
    return ServerSpec(protocol="plain")


def _interceptor(certificates: Certificates) -> ServerSpec:
    return replace(_genuine(certificates), attack="intercept", attack_certificate=certificates.copy)


def _stripper(certificates: Certificates) -> ServerSpec:
    return replace(_genuine(certificates), attack="strip-auth")


def _other_name(certificates: Certificates) -> ServerSpec:
    return ServerSpec(certificate=certificates.other_name)


def _expired(certificates: Certificates) -> ServerSpec:
    return ServerSpec(certificate=certificates.expired)


def _renewed(certificates: Certificates) -> ServerSpec:
    return ServerSpec(certificate=certificates.renewed)


_IN: Final = Claim(login=True)
_LEAKS: Final = Claim(login=True, exposed=frozenset({("password", "wire"), ("payload", "wire")}))
_CAPTURED: Final = Claim(login=True, exposed=frozenset({("password", "impostor"), ("payload", "impostor")}))


_STRIPPED: Final = Claim(login=True, exposed=_LEAKS.exposed | _CAPTURED.exposed)


def _refused(*reasons: str) -> Claim:
    return Claim(refused=frozenset(reasons))


CHAPTERS: Final = (
    Chapter(
        "clear",
        "Plain FTP: the password in clear",
        "FTP is from 1971. It sends user name and password as text, so every machine between you and the server can "
        "read them.",
        "An eavesdropper records the traffic of the next login. What will be in the recording?",
        (Act(_plain, _LEAKS),),
        "The password and the listing were on the wire as text. Nothing had to be broken: reading was enough.",
    ),
    Chapter(
        "refusal",
        "FTPS: the same login, and a refusal",
        "FTPS adds TLS, as on the web: the client asks for it with AUTH TLS, and the server shows a certificate. This "
        "server's certificate is self-signed, like those of many hosting companies.",
        "Will lftp log in? Will the password be in the recording this time?",
        (Act(_genuine, _refused("untrusted")),),
        "lftp refused before it sent the password: no authority that it trusts has signed that certificate. TLS alone "
        "hides the login from an eavesdropper; it does not say who is at the other end.",
    ),
    Chapter(
        "cure",
        "The popular cure",
        "The first answer on the web: one line in ~/.lftp/rc, and the message is gone.",
        "What does `set ssl:verify-certificate no` switch off: the message, or the protection?",
        (Act(_genuine, _IN, VERIFY_OFF),),
        "It works, and an eavesdropper still reads nothing. So far it looks like a cure.",
    ),
    Chapter(
        "interceptor",
        "What the cure costs",
        "Now an interceptor is between client and server. It terminates TLS with its own certificate, a copy of the "
        "genuine one with another key, and passes everything on to the genuine server.",
        "The rc still says `verify-certificate no`. Will the user notice anything? Will the interceptor get the "
        "password?",
        (Act(_interceptor, _CAPTURED, VERIFY_OFF),),
        "The user sees the same listing as before, and no warning. The interceptor has the password and the listing. "
        "The connection was encrypted, but to the wrong party.",
    ),
    Chapter(
        "fetch",
        "Fetching the certificate",
        "The better way begins with the server's certificate. The document fetches it with openssl; the block between "
        "BEGIN and END goes into ~/.lftp/mycert.crt.",
        "How do you know that it was the genuine server that sent it?",
        (Act(_genuine, Claim(), fetches=True),),
        "openssl prints the certificate of any server that answers. Compare the fingerprint with the server's owner "
        "through another channel, or fetch it from two networks: if an interceptor answers today, you pin it.",
    ),
    Chapter(
        "pin",
        "The pin",
        "`set ssl:ca-file` makes lftp trust this one certificate. The path begins with ~, because lftp resolves a "
        "relative path from the folder in which it starts.",
        "Will the login succeed now, without any check switched off?",
        (Act(_genuine, _IN, PINNED, lambda made: made.genuine),),
        "The genuine server is accepted, with verification on. Nothing is readable on the wire.",
    ),
    Chapter(
        "impostor",
        "The interceptor meets the pin",
        "The same interceptor as before: its certificate equals the pinned one in every field but the key.",
        "Subject, serial number and dates are the same. Will lftp see a difference?",
        (Act(_interceptor, _refused("untrusted"), PINNED, lambda made: made.genuine),),
        "lftp refused, and the interceptor got nothing. Only the holder of the key can prove that it is the server.",
    ),
    Chapter(
        "name",
        "The wrong name",
        "Hosting companies often have one certificate for all customers, in the provider's name. The document adds "
        "`set ssl:check-hostname no` for that.",
        "The pinned certificate is the right one, but issued for server7.hosting.example. What will lftp say? And "
        "with the extra line?",
        (
            Act(_other_name, _refused("hostname"), PINNED, lambda made: made.other_name, "First with the pin alone:"),
            Act(_other_name, _IN, NAME_OFF, lambda made: made.other_name, "Then with the name check off:"),
        ),
        "With the pin alone, lftp refuses the name; with the name check off, the login succeeds. With a self-signed "
        "pin, this admits no other server, because lftp compares the key.",
    ),
    Chapter(
        "expiry",
        "Expiry",
        "Certificates expire. Here the pinned one expired a day ago.",
        "The file on disk has not changed. Does the pin still work?",
        (Act(_expired, _refused("expired"), PINNED, lambda made: made.expired),),
        "lftp refuses an expired certificate although it is pinned. The job fails tonight, and someone will remember "
        "the one line that makes messages disappear.",
    ),
    Chapter(
        "rotation",
        "Rotation",
        "The owner puts a new certificate on the server, with a new key. For lftp that looks like an attack.",
        "How can the user tell an honest rotation from an interceptor?",
        (
            Act(_renewed, _refused("untrusted"), PINNED, lambda made: made.genuine, "With the old pin:"),
            Act(_renewed, _IN, PINNED, lambda made: made.renewed, "Pinned again, after comparing the fingerprint:"),
        ),
        "With the old pin, lftp refuses the new certificate. It prints exactly the same for an interceptor with its "
        "own certificate; only for a copy of every field do the words differ. So no message distinguishes the two. "
        "Compare the fingerprint through another channel, then pin the new certificate.",
    ),
    Chapter(
        "downgrade",
        "What the document does not mention",
        "The pin is right and verification is on. This attacker leaves certificates alone: it answers AUTH TLS with "
        '"502 not implemented", as an old server would.',
        "lftp cannot begin TLS. Will it stop, or continue?",
        (Act(_stripper, _STRIPPED, PINNED, lambda made: made.genuine),),
        "lftp continued in clear text, without a message: password and listing are on the wire, and the attacker has "
        "both. A pin protects TLS; it does not demand it.",
    ),
    Chapter(
        "instead",
        "What to write instead",
        "Two more lines: `ftp:ssl-force yes` demands TLS, and `ftp:ssl-allow-anonymous yes` extends that to logins "
        "without a password.",
        "The genuine server, the interceptor and the attacker of the last chapter: who gets what?",
        (
            Act(_genuine, _IN, HARDENED, lambda made: made.genuine, "The genuine server:"),
            Act(_interceptor, _refused("untrusted"), HARDENED, lambda made: made.genuine, "The interceptor:"),
            Act(
                _stripper,
                _refused("tls-required"),
                HARDENED,
                lambda made: made.genuine,
                "The attacker that strips TLS:",
            ),
        ),
        "The genuine server is accepted; both attackers are refused before the password is sent. docs/hardening.md has "
        "every line, what it stops, and what no line stops.",
    ),
)
"""The chapters, in order."""


def yours(rc: str) -> Chapter:
    """A chapter about the audience's own rc: it claims nothing and shows everything."""
    parts = (
        (_genuine, "The genuine server:"),
        (_interceptor, "The interceptor:"),
        (_stripper, "The attacker that strips TLS:"),
    )
    return Chapter(
        "yours",
        "Your own rc",
        "The same three servers, with only your rc. The genuine certificate is in ~/.lftp/mycert.crt.",
        "Who gets your password?",
        tuple(Act(server, _ANYTHING, rc, lambda made: made.genuine, says) for server, says in parts),
        "That is what your rc did, here and now. `ftps-lab verify` tries it against every attack, with your own pin.",
    )


_ANYTHING: Final = Claim(refused=frozenset({"*"}))
"""A claim that any evidence meets."""


def claims_nothing(claim: Claim) -> bool:
    """Whether an act may end in any way."""
    return claim == _ANYTHING
