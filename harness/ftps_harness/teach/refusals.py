"""The explanation of each reason for a refusal: why it happens, what to do, and what not to do.

The texts are Markdown for docs/refusals/, with links relative to the root. lftp's messages are not here: they come from
the recordings (`refusal_pages`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftps_harness.scenario.tables import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason.

    Attributes:
        title: The page's heading, in the words of a user who has just seen the message.
        case: The recorded case whose lines are quoted in full (tests/recordings/cases.toml).
        scenarios: The scenarios that show it.
        why: Why lftp refuses.
        to_do: What to do, in order.
        not_to_do: The actions that remove the message and the protection too.
    """

    title: str
    case: str
    scenarios: tuple[str, ...]
    why: str
    to_do: str
    not_to_do: str


REFUSALS: Mapping[Reason, Refusal] = {
    "untrusted": Refusal(
        title="lftp does not trust the certificate",
        case="no-rc",
        scenarios=("document/untrusted-by-default", "document/pin-detects-impostor", "document/ca-file-as-written"),
        why="""\
The certificate's chain leads to nothing that lftp trusts: the certificate is self-signed and not pinned, its
authority is unknown, an intermediate certificate is missing, or a signature does not fit.

lftp says the same words in three different situations: the server has always had a self-signed certificate, the
server has a new certificate, or somebody else answers in the server's place. The message cannot tell you which; only
the fingerprint can. What stands in parentheses is the SHA-1 fingerprint of the certificate that was refused. The
build with the dialect `classic` said the same of an expired certificate ([expired](docs/refusals/expired.md)).

A pin file that lftp does not find or cannot read has the same effect, because lftp then trusts nobody. It prints one
line about the missing file before the refusal, and some builds print nothing about an unusable one
(`document/ca-file-as-written`, `document/pin-file-unusable`).
""",
        to_do="""\
1. Look for a line above the refusal that names a file: `mycert.crt: No such file or directory.` means that the path
   in `ssl:ca-file` is wrong. Begin it with `~` or `/`.
2. Compare the certificate's SHA-256 fingerprint with the one that the server's administrator gives you through
   another channel: a telephone call, the provider's web page, a terminal on the server itself. `ftps-lab pin HOST
   --dry-run` shows what the server presents and writes nothing.
3. If it is the right certificate, pin it: `ftps-lab pin HOST`, or the lines of [hardening](docs/hardening.md).
4. If it is not, change nothing, log in nowhere, and ask the administrator. A certificate that changed without notice
   is what an attack looks like (`document/rotation-looks-like-tampering`).
5. If the certificate comes from a public authority, the server may not send its intermediate certificate: only the
   administrator can repair that.
""",
        not_to_do="""\
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops looking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
- Do not pin what the server shows without comparing the fingerprint. If an attacker answers, you pin the attacker
  (`document/fetched-from-an-impostor`).
""",
    ),
    "hostname": Refusal(
        title="The certificate is for another name",
        case="wrong-name",
        scenarios=(
            "document/name-mismatch",
            "document/check-hostname-off",
            "document/check-hostname-off-with-an-authority",
        ),
        why="""\
lftp trusts the certificate, but the name that you typed is not in it. lftp compares it with the certificate's SAN,
and with the common name only if there is no SAN.

Often the certificate is for the provider's name (`server7.hosting.example`) and you connect to your own domain. It
can also be another customer's server, which has a valid certificate of the same authority.

Trust comes first: a certificate that is neither trusted nor for this name is only reported as
[untrusted](docs/refusals/untrusted.md).
""",
        to_do="""\
1. Connect to a name that is in the certificate; `openssl x509 -in mycert.crt -noout -ext subjectAltName` lists them.
2. Or ask the administrator for a certificate with the name that you use.
3. If neither is possible and the certificate is self-signed and pinned, `set ssl:check-hostname/HOST no` is
   acceptable for this one host: the pin still identifies the server by its key (`document/check-hostname-off`).
""",
        not_to_do="""\
- Do not switch the name check off if an authority is in your trust store, or for all hosts: everything that the
  authority ever signed is then accepted (`document/check-hostname-off-with-an-authority`).
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops looking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
""",
    ),
    "expired": Refusal(
        title="The certificate has expired",
        case="expired",
        scenarios=("document/expired", "document/certificate-expires-eventually", "document/renewed-with-the-same-key"),
        why="""\
Today is after the certificate's *not after* date. A pin does not help: the date is checked for pinned certificates
too.

The build with the dialect `classic` did not name the date: it printed `Not trusted`. If an lftp 4.8 refuses a server
that it accepted yesterday, look at the date first.

On GnuTLS builds the date that counts may also be the pin's own: if the server renewed its certificate with the same
key, lftp checks the *old* certificate in your pin file, and reports that one as expired
(`document/renewed-with-the-same-key`).
""",
        to_do="""\
1. Look at the dates of what the server shows and of what you pinned: `openssl x509 -in mycert.crt -noout -dates`.
2. If the server's has expired, ask the server's administrator for a new certificate. Compare its fingerprint, then
   pin it.
3. If only the pin has expired: pin the renewed certificate with `ftps-lab pin HOST --replace`.
4. Check your own clock (`date`): see [not-yet-valid](docs/refusals/not-yet-valid.md).
5. Let `ftps-lab verify --warn-days 30` warn you next time.
""",
        not_to_do="""\
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops looking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
- Do not excuse the certificate by its fingerprint (`verify-certificate/FINGERPRINT no`) as a lasting cure: it skips
  every other check as well.
""",
    ),
    "not-yet-valid": Refusal(
        title="The certificate is not valid yet",
        case="not-yet-valid",
        scenarios=("document/not-yet-valid", "document/wrong-clock"),
        why="""\
Today is before the certificate's *not before* date. Usually the clock is wrong: yours (a machine without a battery
starts in the past), or that of the machine that made the certificate.

The build with the dialect `classic` did not name the date: it printed `Not trusted`.
""",
        to_do="""\
1. Check your own clock: `date -u`. Set it, and have it kept right by NTP.
2. If it is right, look at the certificate's dates: `openssl x509 -in mycert.crt -noout -dates`. A certificate that
   becomes valid within hours only needs patience.
3. Ask the server's administrator for a new certificate.
""",
        not_to_do="""\
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops looking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
- Do not set your clock to a date that the certificate likes: you would accept expired certificates as well.
""",
    ),
    "revoked": Refusal(
        title="The certificate has been revoked",
        case="revoked",
        scenarios=(),
        why="""\
The certificate is on the revocation list that your rc names (`ssl:crl-file`): its authority has withdrawn it, for
example because its key was stolen.

Only builds with OpenSSL can be relied on here: the GnuTLS builds that we measured crash on a revocation list, or
accept the certificate ([measured](docs/lftp.md#the-pin)).
""",
        to_do="""\
1. Do not log in. Treat the server as taken over until its administrator has explained.
2. Ask the server's administrator for a new certificate.
""",
        not_to_do="""\
- Do not take the list out of the rc to be let in.
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops looking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
""",
    ),
    "weak": Refusal(
        title="An algorithm or a key is too weak",
        case="sha1",
        scenarios=(),
        why="""\
The certificate is signed with SHA-1 or MD5, or a key is too short (RSA with 1024 bits). With such a signature another
certificate can be made that counts as the same.

How strict lftp is depends on its TLS library and the library's configuration: GnuTLS builds accept RSA-1024, builds
with OpenSSL do not. The build with the dialect `classic` printed `Not trusted`.
""",
        to_do="""\
1. Ask the server's administrator for a certificate with SHA-256 and RSA-2048, or an elliptic curve. A self-signed one
   takes a minute.
""",
        not_to_do="""\
- Do not lower the library's security level for the whole machine.
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops looking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
""",
    ),
    "purpose": Refusal(
        title="The certificate is not meant for servers",
        case="for-clients",
        scenarios=("rc/certificate-for-another-purpose",),
        why="""\
The certificate's extended key usage does not list TLS servers: it was issued for a client, for mail or for signing
code. An authority that signs such certificates for its customers has not vouched for a server.

Only builds with OpenSSL look at the purpose. GnuTLS builds accept these certificates, because lftp never asks GnuTLS
to check.
""",
        to_do="""\
1. Ask the server's administrator for a certificate for TLS servers (`serverAuth`).
2. Ask how it came about: a user's certificate on a server can be a mistake, or a user's stolen certificate.
""",
        not_to_do="""\
- Do not switch to a GnuTLS build to be let in: it only overlooks the problem.
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops looking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
""",
    ),
    "tls-required": Refusal(
        title="The server offers no TLS, and your rc demands it",
        case="ssl-force-plain",
        scenarios=("attack/strip-auth", "attack/refuse-auth", "document/auth-refused"),
        why="""\
`ftp:ssl-force yes` is set, and the server refused `AUTH TLS` or did not offer it. Without that line lftp would have
continued in clear text, and the password would be readable on the wire.

Either the server has no TLS, or somebody on the path removes it: to lftp, both look the same. An attacker does not
need a certificate for that (`attack/strip-auth`).
""",
        to_do="""\
1. Ask the administrator whether the server supports FTPS, and on which port. Implicit FTPS (`ftps://HOST`, port 990)
   is not affected by stripping.
2. If it worked before, assume that somebody interferes: try from another network before you log in.
3. If the server really has no TLS, use another one, or SFTP. A password that was sent in clear has to be changed.
""",
        not_to_do="""\
- Do not remove `ftp:ssl-force yes`. With the line gone, the attack succeeds with exit code 0 and no message
  (`document/auth-refused`).
- Do not set `ftp:ssl-allow no`: it overrides `ftp:ssl-force`.
""",
    ),
    "tls-handshake": Refusal(
        title="The TLS handshake failed",
        case="handshake-closed",
        scenarios=("attack/break-handshake-alert", "attack/break-handshake-close", "attack/break-handshake-text"),
        why="""\
The connection was closed, an alert came, or what came was no TLS. No certificate has been accepted or refused yet.

Common causes: the server and lftp share no TLS version or cipher (an old server, or an `ssl:priority` that demands
TLS 1.3); the port speaks implicit FTPS and lftp expects explicit, or the other way round; a firewall breaks TLS; or
an attacker breaks it, hoping that lftp continues in clear text.

Without `ftp:ssl-force yes` it often does: lftp takes a broken handshake for a server without TLS, and sends the
password in clear (`attack/break-handshake-alert`).
""",
        to_do="""\
1. Check that `ftp:ssl-force yes` is set *before* you try again.
2. Look at the handshake with another tool: `openssl s_client -connect HOST:21 -starttls ftp` (port 990: without
   `-starttls ftp`).
3. Try `ftps://HOST` for implicit FTPS, or `ftp://HOST` for explicit.
4. If only TLS 1.3 is allowed in your rc, ask the administrator to enable it on the server.
""",
        not_to_do="""\
- Do not set `ftp:ssl-allow no` or remove `ftp:ssl-force yes`: the connection then works because nothing is encrypted.
""",
    ),
}
"""In the order of docs/reference.md, "Reasons"."""
