"""The contract for pinning tools: one record for each requirement.

A requirement never changes its meaning within a version of the contract; a new or changed one makes a new version.
The page docs/pinning-contract.md and ``ftps-lab pin-check --list`` are written from these records.
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
        id: The name in reports and in JSON.
        level: ``must`` or ``should``.
        holds: When it holds, one sentence.
        reason: Why it matters: the incident, the document or the measurement behind it.
        check: ``module:function`` in `ftps_harness.pinning.checks`: the function that tests it.
        if_claimed: The requirement does not apply to a tool without a command for it.
        cost: The approximate duration in seconds: the longest checks begin first.
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
        "After pinning, lftp lists, downloads and uploads from any working directory.",
        'The document writes `set ssl:ca-file "mycert.crt"`. lftp resolves a relative path against its working '
        "directory, so a cron job finds no pin (scenario document/ca-file-as-written).",
        cost=3,
    ),
    _must(
        "impostor-refused",
        "trust:impostor_refused",
        "lftp refuses a server whose certificate has the same fields but another key, on control and data connections.",
        "A public lftp tool wrote `verify-certificate no` next to the client-certificate option: an impostor got the "
        "login, and the exit code was 0.",
        cost=3,
    ),
    _must(
        "verification-on",
        "trust:verification_on",
        "lftp, when asked, reports verification on for this host and every other; an existing switch-off is removed, "
        "or reported with a non-zero exit code.",
        "People turn to a pinning tool after writing `set ssl:verify-certificate no`; while that line stays, a pin is "
        "worthless (scenario document/global-no-stays).",
        cost=2,
    ),
    _must(
        "name-check-on",
        "trust:name_check_on",
        "Host name checking stays on unless the certificate has another name; then the tool turns it off for this "
        "host only, and says so.",
        "The document ends with `set ssl:check-hostname no`, for all hosts. If the pin is an authority, lftp then "
        "accepts every certificate that it ever signed (document/check-hostname-off-with-an-authority).",
        cost=2,
    ),
    _must(
        "authority-not-trusted",
        "trust:authority_not_trusted",
        "lftp refuses another certificate from the same authority, or the tool says that it pinned an authority.",
        "`openssl s_client -showcerts` prints the whole chain: a tool that stores all of it trusts every certificate "
        "from that authority.",
    ),
    _must(
        "usable-or-told",
        "trust:usable_or_reported",
        "The tool reports a certificate that lftp would refuse anyway (wrong name, expired, not yet valid) instead of "
        "pinning it with exit code 0.",
        "lftp checks the name and dates of a pinned certificate too: the job fails every night, and the usual next "
        "step is to switch verification off.",
    ),
    _must(
        "change-refused",
        "change:change_refused",
        "A changed certificate (RSA, EC, Ed25519; same subject, same serial) gives a non-zero exit code unless the "
        "user explicitly agrees, and the old pin stays; end of input is not a yes.",
        "A public lftp tool compared RSA moduli. EC certificates have none, so any two of them looked equal.",
        cost=4,
    ),
    _must(
        "repin",
        "change:repin",
        "With --repin, lftp accepts the new certificate and refuses the old one; if the fetch fails, the old pin "
        "stays.",
        "Certificates expire. A pin that cannot be replaced gets replaced by `verify-certificate no`.",
        cost=2,
    ),
    _must(
        "fingerprint-shown",
        "change:fingerprint_shown",
        "The tool prints the SHA-256 fingerprint of the pinned certificate, so that a person can compare it.",
        "The first fetch is an interceptor's opportunity (scenario attack/pinned-the-interceptor); only a comparison "
        "over another channel reveals it.",
    ),
    _must(
        "fingerprint-expected",
        "change:fingerprint_expected",
        "With --with-fingerprint, any other certificate is refused and nothing is written.",
        "A user who has the fingerprint from the server's owner does not have to trust the first connection.",
        if_claimed=True,
    ),
    _must(
        "one-look",
        "failure:one_look",
        "The tool pins what it showed: if the server presents another certificate on a second connection, that one is "
        "not pinned unseen.",
        "A tool that connects once to print the fingerprint and again to store the certificate may store one that was "
        "never compared.",
    ),
    _must(
        "failure-writes-nothing",
        "failure:failure_writes_nothing",
        "If the server is unreachable, speaks plain FTP, refuses AUTH, breaks TLS, speaks HTTP, or sends garbage or "
        "nothing, the tool exits non-zero, changes not a byte, and does not fall back to settings that switch "
        "protection off.",
        "An interceptor can cause any of these during pinning, and an empty pin or a well-meant `ssl-allow no` stays "
        "behind.",
        cost=4,
    ),
    _must(
        "bounded-time",
        "failure:bounded_time",
        "The tool ends within the time limit when the server is silent, or sends one byte now and then, a 10 MB "
        "banner, or a chain of 1,000 certificates.",
        "A hanging job goes unnoticed until the backup is needed; a timeout per read does not stop a server that "
        "sends one byte now and then.",
        cost=20,
    ),
    _must(
        "atomic",
        "atomic:atomic",
        "If the tool is killed at any write, or the disk is full, it leaves the old pin and rc or the new ones, "
        "never a half-written state.",
        "25 kills at random moments never caught a tool that writes in place; a kill at each file change does.",
        cost=10,
    ),
    _must(
        "concurrent-runs",
        "concurrent:concurrent_runs",
        "Two simultaneous runs keep both pins.",
        "Configuration management pins several hosts in parallel; a tool that reads, changes and writes without a "
        "lock loses one of the pins.",
        cost=8,
    ),
    _must(
        "rc-preserved",
        "rc:rc_preserved",
        "Every other byte of the rc survives: comments, order, CRLF, no final newline, BOM, non-UTF-8, 10,000 lines.",
        "An rc is somebody's work, often kept in a repository; a tool that reads and rewrites it as UTF-8 loses part "
        "of it.",
        cost=3,
    ),
    _must(
        "idempotent",
        "rc:idempotent",
        "A second run changes nothing.",
        "Pinning tools run from cron and configuration management: a line added every night fills the rc.",
    ),
    _must(
        "two-hosts",
        "rc:two_hosts",
        "Pinning a second host keeps the first pin.",
        "`ssl:ca-file` is one setting for all hosts: a tool that writes one file per host loses the first pin.",
    ),
    _must(
        "opposing-lines",
        "rc:opposing_lines",
        "The tool handles a line that undoes the pin, or reports it with a non-zero exit code: earlier or later in "
        "the rc, in `~/.lftprc`, in an XDG rc, or the tool's own line commented out. Creating `~/.lftp` does not hide "
        "`~/.config/lftp/rc`.",
        "lftp reads several files, the last line wins, and `yes` for one host does not undo `verify-certificate no` "
        "for all (docs/lftp.md).",
        cost=4,
    ),
    _must(
        "links-kept",
        "files:links_kept",
        "An rc or pin that is a symlink stays one; a read-only one is reported.",
        "Dotfiles often live in a repository, with symlinks to them: renaming a new file over the link detaches it "
        "from the repository.",
        cost=2,
    ),
    _must(
        "private-files",
        "files:private_files",
        "Nothing becomes readable or writable by more people than before; new files are private.",
        "Anyone who can write to the pin or the rc decides which servers lftp trusts; an rc may hold a password.",
    ),
    _must(
        "no-secrets",
        "files:no_secrets",
        "No password in arguments, rc, log or output; no login before the certificate is compared; no private key.",
        "A tool that logs in to test its pin gives the password to whichever server answers.",
    ),
    _must(
        "no-leftovers",
        "files:no_leftovers",
        "No temporary files or backups stay behind, in {home} or outside.",
        "A backup of an old pin may be restored by mistake; a path in /tmp may be another user's symlink.",
    ),
    _must(
        "home-respected",
        "files:home_respected",
        "The tool writes below {home} only, whatever the working directory.",
        "cron starts jobs in HOME, systemd in /, people anywhere: a file with a relative path could end up in any "
        "folder.",
    ),
    _must(
        "odd-paths",
        "files:odd_paths",
        "Non-ASCII characters in {home} work; with spaces or quotes, the tool works or refuses with a message.",
        "lftp 4.9.2 reads no rc at all if the path of HOME has a space, a quote, `;` or `&` (docs/lftp.md): a tool "
        "that reports success there has pinned nothing.",
    ),
    _must(
        "hostile-text",
        "failure:hostile_text",
        "Newlines, `;`, quotes, `$()`, escape sequences, NUL or 64 KiB of text in subjects, names and banners inject "
        "nothing into the rc, a shell or the terminal.",
        "Until the pin exists, everything that the tool prints and writes comes from an unverified server.",
        cost=4,
    ),
    _must(
        "hostile-arguments",
        "failure:hostile_arguments",
        "Host names with shell or lftp metacharacters are refused, not executed.",
        "Host names come from inventories and forms; in an rc, `;` or a newline begins a new command, and `!` a shell.",
        cost=2,
    ),
    _must(
        "any-port",
        "protocol:any_port",
        "Explicit FTPS works on any port.",
        "Providers move FTP to other ports; a tool that assumes implicit FTPS on port 990, even when asked for "
        "explicit, hangs there.",
    ),
    _must(
        "greeting",
        "protocol:greeting",
        "Greetings of several lines work, also when they arrive in pieces.",
        "In a reply of several lines, inner lines may begin with anything (RFC 959 section 4.2); a tool that reads "
        "one line takes the second for the reply to AUTH.",
    ),
    _should(
        "hosts-kept-apart",
        "protection:hosts_kept_apart",
        "One pinned host's certificate is not accepted for another host, or the tool says that it is (a fingerprint "
        "closure is not bound to a host).",
        "With `ssl:verify-certificate/FINGERPRINT no`, lftp accepts that certificate from any host "
        "(rc/fingerprint-any-host): the operator of one pinned server can impersonate another.",
    ),
    _should(
        "tls-demanded",
        "protection:tls_demanded",
        "A server that refuses AUTH, or breaks TLS, gets no password.",
        "A pin does not stop a downgrade: without `ftp:ssl-force`, lftp falls back to clear text and exits with code "
        "0 (attack/strip-auth, attack/break-handshake-alert).",
        cost=2,
    ),
    _should(
        "anonymous-protected",
        "protection:anonymous_protected",
        "An anonymous login does not transfer files in clear.",
        "Without `ftp:ssl-allow-anonymous`, an anonymous login uses no TLS, and a login without a password becomes "
        "anonymous (document/anonymous-login).",
    ),
    _should(
        "chain-works",
        "protection:chain_works",
        "A leaf issued by a CA works with GnuTLS and OpenSSL builds of lftp, or the tool says with which it does not.",
        "A pinned leaf fails with lftp 4.8.4, and with 4.9.3 built with OpenSSL, if the server also sends its "
        "authority's certificate.",
    ),
    _should(
        "store-replaced-told",
        "protection:says_store_replaced",
        "The tool says that `ssl:ca-file` replaces the system's trust store for all hosts.",
        "Once one self-signed server is pinned, lftp refuses every other FTPS host that has an ordinary certificate.",
    ),
    _should(
        "renewal-told",
        "change:renewal_reported",
        "The tool reports a renewal with the same key as a renewal.",
        "A renewal is expected and harmless; a new key is neither. Users who cannot tell them apart learn to say yes "
        "to both.",
    ),
    _should(
        "implicit",
        "protocol:implicit",
        "Implicit FTPS works.",
        "An attack on AUTH cannot downgrade implicit FTPS (docs/hardening.md).",
    ),
    _should(
        "ipv6",
        "protocol:ipv6",
        "IPv6 addresses work.",
        "An IPv6 address has colons where tools look for the port.",
    ),
)
"""Every requirement, in the order of reports."""


def by_id(name: str) -> Requirement | None:
    """The requirement of this id."""
    return next((each for each in REQUIREMENTS if each.id == name), None)
