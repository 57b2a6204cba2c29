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
authority is unknown, an intermediate certificate is missing, or a signature does not match.

lftp prints the same words in three different situations: the server has always had a self-signed certificate, the
server has a new certificate, or an impostor answers. The message does not show which; only the fingerprint does: the
SHA-1 fingerprint of the refused certificate is in parentheses. The build with the dialect `classic` printed the same
for an expired certificate ([expired](docs/refusals/expired.md)).

A pin file that lftp does not find or cannot read has the same effect, because lftp then trusts no server. It prints
one line about a missing file before the refusal; some builds print nothing about an unusable one
(`document/ca-file-as-written`, `document/pin-file-unusable`).
""",
        to_do="""\
1. Look for a line above the refusal that names a file: `mycert.crt: No such file or directory.` means that the path
   in `ssl:ca-file` is wrong. Begin it with `~` or `/`.
2. Compare the certificate's SHA-256 fingerprint with the one that the server's administrator gives you through
   another channel: a telephone call, the provider's web page, a terminal on the server itself. `ftps-lab pin HOST
   --dry-run` shows what the server presents and writes nothing.
3. If it is the right certificate, pin it: `ftps-lab pin HOST`, or the lines of [hardening](docs/hardening.md).
4. If it is not, change nothing, do not log in, and ask the administrator. A certificate that changed without notice
   looks exactly like an attack (`document/rotation-looks-like-tampering`).
5. If the certificate comes from a public authority, the server may lack its intermediate certificate: only the
   administrator can fix that.
""",
        not_to_do="""\
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops checking: an interceptor gets
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
can also be another customer's server, with a valid certificate from the same authority.

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
- Do not switch the name check off for all hosts, or if an authority is in your trust store: lftp would accept
  everything that the authority ever signed (`document/check-hostname-off-with-an-authority`).
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops checking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
""",
    ),
    "expired": Refusal(
        title="The certificate has expired",
        case="expired",
        scenarios=("document/expired", "document/certificate-expires-eventually", "document/renewed-with-the-same-key"),
        why="""\
Today is after the certificate's *not after* date. A pin does not help: lftp checks the dates of pinned certificates
too.

The build with the dialect `classic` did not name the date: it printed `Not trusted`. If an lftp 4.8 refuses a server
that it accepted yesterday, look at the date first.

On GnuTLS builds, the expired certificate may be the one in your pin file: if the server renewed its certificate with
the same key, lftp checks the *old* certificate there, and reports it as expired
(`document/renewed-with-the-same-key`).
""",
        to_do="""\
1. Compare the dates of the server's certificate and of your pin: `openssl x509 -in mycert.crt -noout -dates`.
2. If the server's has expired, ask the server's administrator for a new certificate. Compare its fingerprint, then
   pin it.
3. If only the pin has expired: pin the renewed certificate with `ftps-lab pin HOST --replace`.
4. Check your own clock (`date`): see [not-yet-valid](docs/refusals/not-yet-valid.md).
5. Let `ftps-lab verify --warn-days 30` warn you next time.
""",
        not_to_do="""\
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops checking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
- Do not exempt the certificate by its fingerprint (`verify-certificate/FINGERPRINT no`) as a permanent fix: that skips
  every other check as well.
""",
    ),
    "not-yet-valid": Refusal(
        title="The certificate is not yet valid",
        case="not-yet-valid",
        scenarios=("document/not-yet-valid", "document/wrong-clock"),
        why="""\
Today is before the certificate's *not before* date. Usually a clock is wrong: yours (a machine without a clock
battery starts in the past), or that of the machine that made the certificate.

The build with the dialect `classic` did not name the date: it printed `Not trusted`.
""",
        to_do="""\
1. Check your own clock: `date -u`. If it is wrong, set it, and let NTP keep it right.
2. If it is right, look at the certificate's dates: `openssl x509 -in mycert.crt -noout -dates`. If the certificate
   becomes valid within hours, wait.
3. Ask the server's administrator for a new certificate.
""",
        not_to_do="""\
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops checking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
- Do not set your clock to a date within the certificate's dates: lftp would accept expired certificates as well.
""",
    ),
    "revoked": Refusal(
        title="The certificate has been revoked",
        case="revoked",
        scenarios=(),
        why="""\
The certificate is on the revocation list that your rc names (`ssl:crl-file`): its authority has withdrawn it, for
example because its key was stolen.

Only OpenSSL builds are reliable here: the GnuTLS builds that we measured crash on a revocation list, or accept the
certificate ([measured](docs/lftp.md#the-pin)).
""",
        to_do="""\
1. Do not log in. Treat the server as compromised until its administrator has explained the revocation.
2. Ask the server's administrator for a new certificate.
""",
        not_to_do="""\
- Do not remove the list from the rc to get a connection.
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops checking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
""",
    ),
    "weak": Refusal(
        title="An algorithm or a key is too weak",
        case="sha1",
        scenarios=(),
        why="""\
The certificate is signed with SHA-1 or MD5, or a key is too short (RSA with 1024 bits). An attacker may be
able to forge another certificate that passes for it.

How strict lftp is depends on its TLS library and the library's configuration: GnuTLS builds accept RSA-1024, OpenSSL
builds do not. The build with the dialect `classic` printed `Not trusted`.
""",
        to_do="""\
1. Ask the server's administrator for a certificate with SHA-256 and RSA-2048, or an elliptic curve. A self-signed one
   takes a minute.
""",
        not_to_do="""\
- Do not lower the library's security level for the whole machine.
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops checking: an interceptor gets
  the password and the files (`document/verification-off-trusts-anybody`).
""",
    ),
    "purpose": Refusal(
        title="The certificate is not meant for servers",
        case="for-clients",
        scenarios=("rc/certificate-for-another-purpose",),
        why="""\
The certificate's extended key usage does not list TLS servers: it was issued for a client, for mail or for signing
code. An authority that signs such a certificate for a customer does not certify a server with it.

Only OpenSSL builds check the purpose. GnuTLS builds accept these certificates, because lftp never asks GnuTLS to
check it.
""",
        to_do="""\
1. Ask the server's administrator for a certificate for TLS servers (`serverAuth`).
2. Ask how this happened: a user's certificate on a server is either a mistake, or stolen and used by an attacker.
""",
        not_to_do="""\
- Do not switch to a GnuTLS build to get a connection: it only ignores the problem.
- Do not write `set ssl:verify-certificate no`. The message disappears because lftp stops checking: an interceptor gets
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

Either the server has no TLS, or an on-path attacker strips it: to lftp, both look the same. An attacker does not need
a certificate for that (`attack/strip-auth`).
""",
        to_do="""\
1. Ask the administrator whether the server supports FTPS, and on which port. Implicit FTPS (`ftps://HOST`, port 990)
   is not affected by stripping.
2. If it worked before, assume an attack: try from another network before you log in.
3. If the server really has no TLS, use another server, or SFTP. Change every password that was sent in clear.
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
The connection was closed, an alert arrived, or the answer was not TLS. lftp has not accepted or refused a certificate
yet.

Common causes: the server and lftp share no TLS version or cipher (an old server, or an `ssl:priority` that demands
TLS 1.3); the port speaks implicit FTPS and lftp expects explicit, or vice versa; a firewall breaks TLS; or an attacker
breaks it to make lftp continue in clear text.

Without `ftp:ssl-force yes` lftp often does continue: it takes a broken handshake for a server without TLS, and sends
the password in clear (`attack/break-handshake-alert`).
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
