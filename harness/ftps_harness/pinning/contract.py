"""The contract for pinning tools: one record for each requirement.

A requirement never changes within a version of the contract; a new or changed one makes a new version. The page
docs/pinning-contract.md and ``ftps-lab pin-check --list`` are written from these records.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.pinning.rig import Rig

CONTRACT: Final = "1"
"""The version of the contract."""

Level = Literal["must", "should"]

LEVELS: Final[tuple[Level, ...]] = ("must", "should")


class Requirement(Struct, frozen=True, kw_only=True):
    """One requirement.

    Attributes:
        id: As it stands in reports and in JSON.
        level: ``must`` or ``should``.
        holds: When it holds, one sentence.
        reason: Why it matters: the incident, the document or the measurement behind it.
        check: ``module:function`` in `ftps_harness.pinning.checks`: what is done to find out.
        if_claimed: A tool without a command for it fails nothing.
        cost: Roughly how many seconds it takes: what takes longest begins first.
    """

    id: str
    level: Level
    holds: str
    reason: str
    check: str
    if_claimed: bool = False
    cost: float = 1.0

    def run(self, rig: Rig) -> None:
        """Run the check of this requirement.

        Raises:
            LabError: A server failed.
            HarnessError: Something cannot be started or written.
        """
        module, _, name = self.check.partition(":")
        check: Callable[[Rig], None] = getattr(import_module(f"ftps_harness.pinning.checks.{module}"), name)
        check(rig)


def _must(
    name: str, check: str, holds: str, reason: str, *, if_claimed: bool = False, cost: float = 1.0
) -> Requirement:
    return Requirement(id=name, level="must", holds=holds, reason=reason, check=check, if_claimed=if_claimed, cost=cost)


def _should(name: str, check: str, holds: str, reason: str, *, cost: float = 1.0) -> Requirement:
    return Requirement(id=name, level="should", holds=holds, reason=reason, check=check, cost=cost)


REQUIREMENTS: Final[tuple[Requirement, ...]] = (
    _must(
        "connects",
        "trust:connects",
        "Afterwards lftp lists, downloads and uploads, whatever folder it is started from.",
        'The document writes `set ssl:ca-file "mycert.crt"`: lftp looks for a relative path where it was started, so a '
        "job of cron finds no pin (scenario document/ca-file-as-written).",
        cost=3,
    ),
    _must(
        "impostor-refused",
        "trust:impostor_refused",
        "A server with every field the same and another key is refused, on control and data connections.",
        "A public tool for lftp wrote `verify-certificate no` beside the option for a client's certificate: a stranger "
        "got the login, and the exit code was 0.",
        cost=3,
    ),
    _must(
        "verification-on",
        "trust:verification_on",
        "lftp, asked, has verification on for this host and every other; a switch-off that was there before is "
        "removed, or reported with a non-zero exit.",
        "People come to a pinning tool after they have written `set ssl:verify-certificate no`; beside it a pin is "
        "worth nothing (scenario document/global-no-stays).",
        cost=2,
    ),
    _must(
        "name-check-on",
        "trust:name_check_on",
        "The check of the host name stays on, unless the name differs; then it is off for this host alone, and the "
        "tool says so.",
        "The document's last line is `set ssl:check-hostname no`, for all hosts: beside a pinned authority it lets in "
        "everything that this authority ever signed (document/check-hostname-off-with-an-authority).",
        cost=2,
    ),
    _must(
        "authority-not-trusted",
        "trust:authority_not_trusted",
        "Another certificate of the same authority is refused, or the tool says that it pinned an authority.",
        "`openssl s_client -showcerts` prints the whole chain: a tool that stores all of it trusts every customer of "
        "that authority.",
    ),
    _must(
        "usable-or-told",
        "trust:usable_or_told",
        "A certificate that lftp will refuse anyway (another name, expired, not yet valid) is reported, not pinned "
        "with exit code 0.",
        "lftp checks the name and the dates of a pinned certificate too: the job fails every night, and the next "
        "thing that people try is to switch verification off.",
    ),
    _must(
        "change-refused",
        "change:change_refused",
        "A changed certificate (RSA, EC, Ed25519; same subject, same serial) is a non-zero exit without an explicit "
        "word, and the old pin stays; the end of input is not a yes.",
        "A public tool for lftp compared RSA moduli: two EC certificates have none, so they always looked equal.",
        cost=4,
    ),
    _must(
        "repin",
        "change:repin",
        "With --repin the new certificate works and the old one is refused; when fetching fails, the old pin stays.",
        "Certificates expire: a pin that cannot be replaced is replaced by `verify-certificate no`.",
        cost=2,
    ),
    _must(
        "fingerprint-shown",
        "change:fingerprint_shown",
        "The SHA-256 fingerprint of what was pinned is printed, so that a person can compare it.",
        "The first fetch is the moment that an interceptor waits for (scenario attack/pinned-the-interceptor): nothing "
        "but a comparison by another way finds that.",
    ),
    _must(
        "fingerprint-expected",
        "change:fingerprint_expected",
        "With --with-fingerprint another certificate is refused and nothing is written.",
        "Whoever has the fingerprint from the server's owner needs no trust in the first connection.",
        if_claimed=True,
    ),
    _must(
        "one-look",
        "failure:one_look",
        "What is pinned is what was shown: a server that shows another certificate on the second connection is not "
        "pinned unseen.",
        "A tool that connects once to print the fingerprint and once more to store the certificate stores what nobody "
        "has compared.",
    ),
    _must(
        "failure-writes-nothing",
        "failure:failure_writes_nothing",
        "Unreachable, plain FTP, AUTH refused, TLS broken, HTTP, garbage, empty answer: non-zero exit, not a byte "
        "changed, no fallback that switches protection off.",
        "An interceptor can make any of these happen at the moment of pinning, and an empty pin or a helpful "
        "`ssl-allow no` stays behind.",
        cost=4,
    ),
    _must(
        "bounded-time",
        "failure:bounded_time",
        "A silent server, one byte now and then, a 10 MB banner, a chain of 1,000 certificates: ends within the time "
        "limit.",
        "A job that hangs is noticed when the backup is needed; a limit for each read is none against a byte now and "
        "then.",
        cost=20,
    ),
    _must(
        "atomic",
        "atomic:atomic",
        "Killed at any write, or with a full disk: the old pin and rc or the new ones, never half.",
        "25 kills at random moments never caught a tool that writes in place; a kill at each change of a file does.",
        cost=10,
    ),
    _must(
        "concurrent-runs",
        "concurrent:concurrent_runs",
        "Two runs at once lose neither.",
        "Configuration management pins several hosts in parallel; a tool that reads, changes and writes without a lock "
        "loses one.",
        cost=8,
    ),
    _must(
        "rc-preserved",
        "rc:rc_preserved",
        "Every other byte of the rc survives: comments, order, CRLF, no final newline, BOM, non-UTF-8, 10,000 lines.",
        "An rc is somebody's work, often in a repository; a tool that reads it as UTF-8 and writes it again loses part "
        "of it.",
        cost=3,
    ),
    _must(
        "idempotent",
        "rc:idempotent",
        "A second run changes nothing.",
        "Tools of this kind run from cron and from configuration management: a line more each night fills the rc.",
    ),
    _must(
        "two-hosts",
        "rc:two_hosts",
        "Pinning a second host keeps the first.",
        "`ssl:ca-file` is one setting for all hosts: a tool that writes one file for each host forgets the first.",
    ),
    _must(
        "opposing-lines",
        "rc:opposing_lines",
        "An opposing line earlier or later in the rc, in `~/.lftprc` or in an XDG rc, or the tool's own line commented "
        "out: handled, or reported with a non-zero exit; creating `~/.lftp` does not hide `~/.config/lftp/rc`.",
        "lftp reads several files, the last line counts, and `verify-certificate no` for all is not taken back by "
        "`yes` for one (docs/lftp.md).",
        cost=4,
    ),
    _must(
        "links-kept",
        "files:links_kept",
        "An rc or pin that is a symlink stays one; a read-only one is reported.",
        "Dotfiles live in repositories, with links to them: a rename in the place of the link parts the two.",
        cost=2,
    ),
    _must(
        "private-files",
        "files:private_files",
        "Nothing is readable or writable by more people than before; new files are private.",
        "Whoever can write to the pin or to the rc decides whom lftp trusts; an rc may hold a password.",
    ),
    _must(
        "no-secrets",
        "files:no_secrets",
        "No password in arguments, rc, log or output; no login before the certificate is compared; no private key.",
        "A tool that logs in to see whether it works gives the password to whoever answers.",
    ),
    _must(
        "no-leftovers",
        "files:no_leftovers",
        "No temporary files or backups, in {home} or outside.",
        "An old pin in a backup is found again and put back; a file in /tmp can be somebody else's link.",
    ),
    _must(
        "home-respected",
        "files:home_respected",
        "Writes below {home} only, whatever the working directory.",
        "cron starts jobs in HOME, systemd in /, people anywhere: a relative path ends up in a folder of chance.",
    ),
    _must(
        "odd-paths",
        "files:odd_paths",
        "Non-ASCII characters in {home} work; with spaces or quotes the tool works or refuses in a sentence.",
        "In a HOME with a blank, a quote, `;` or `&` lftp 4.9.2 reads no rc at all (docs/lftp.md): a tool that reports "
        "success there has pinned nothing.",
    ),
    _must(
        "hostile-text",
        "failure:hostile_text",
        "Subjects, names and banners with newlines, `;`, quotes, `$()`, escape sequences, NUL, 64 KiB put nothing into "
        "the rc, a shell or the terminal.",
        "All that the tool prints and writes before the pin exists comes from whoever answers.",
        cost=4,
    ),
    _must(
        "hostile-arguments",
        "failure:hostile_arguments",
        "Host names with shell or lftp metacharacters are refused, not executed.",
        "Host names come from inventories and forms; in an rc, `;` and a newline begin a command, and `!` a shell.",
        cost=2,
    ),
    _must(
        "any-port",
        "protocol:any_port",
        "Explicit FTPS on any port.",
        "Providers move FTP to other ports; a tool that takes 990 for implicit FTPS, whatever it is told, hangs there.",
    ),
    _must(
        "greeting",
        "protocol:greeting",
        "Greetings of several lines or in pieces.",
        "RFC 959 section 4.2 allows lines that begin with anything; a tool that reads one line takes the second for "
        "the reply to AUTH.",
    ),
    _should(
        "hosts-kept-apart",
        "protection:hosts_kept_apart",
        "One pinned host's certificate is not accepted for another (a fingerprint closure binds to no host: say so).",
        "With `ssl:verify-certificate/FINGERPRINT no` lftp accepts that certificate from any host "
        "(rc/fingerprint-any-host): whoever runs one pinned server can play another.",
    ),
    _should(
        "tls-demanded",
        "protection:tls_demanded",
        "A server that refuses AUTH, or breaks TLS, gets no password.",
        "A pin does not stop a downgrade: without `ftp:ssl-force` lftp falls back to clear text, exit code 0 "
        "(attack/strip-auth, attack/break-handshake-alert).",
        cost=2,
    ),
    _should(
        "anonymous-protected",
        "protection:anonymous_protected",
        "An anonymous login does not transfer in clear.",
        "Without `ftp:ssl-allow-anonymous` an anonymous login uses no TLS, and a login whose password is missing "
        "becomes anonymous (document/anonymous-login).",
    ),
    _should(
        "chain-works",
        "protection:chain_works",
        "A leaf issued by a CA works on GnuTLS and OpenSSL builds, or the tool says on which it does not.",
        "A pinned leaf fails on lftp 4.8.4, and on 4.9.3 with OpenSSL, when the server also sends its authority.",
    ),
    _should(
        "store-replaced-told",
        "protection:store_replaced_told",
        "The tool says that `ssl:ca-file` replaces the system store for all hosts.",
        "After one self-signed server was pinned, every other FTPS host with an ordinary certificate is refused.",
    ),
    _should(
        "renewal-told",
        "change:renewal_told",
        "A renewal with the same key is reported as that.",
        "A renewal is expected and harmless, a new key is neither: whoever cannot tell them apart learns to say yes.",
    ),
    _should(
        "implicit",
        "protocol:implicit",
        "Implicit FTPS.",
        "It is the one kind that no downgrade of AUTH can touch (docs/hardening.md).",
    ),
    _should(
        "ipv6",
        "protocol:ipv6",
        "IPv6 addresses.",
        "A host with an IPv6 address alone has colons in the place where tools look for the port.",
    ),
)
"""Every requirement, in the order of reports."""


def by_id(name: str) -> Requirement | None:
    """The requirement of this id."""
    return next((each for each in REQUIREMENTS if each.id == name), None)
