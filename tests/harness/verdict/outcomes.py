"""The rc files that many leak tests start with, and a leak as one comparable value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftps_harness.testing import ServerHandle, TestOutcome
    from ftps_harness.verdict.observations import Outcome

NO_VERIFICATION = "set ssl:verify-certificate no\nset ftp:ssl-protect-data yes\n"
EVERYTHING = ("list", "get", "put", "mirror")


def pinned(server: ServerHandle, more: str = "") -> str:
    """The rc that trusts only this server's certificate; `more` follows it."""
    return f'set ssl:ca-file "{server.pin}"\nset ftp:ssl-protect-data yes\n{more}'


def leaked(outcome: Outcome | TestOutcome) -> tuple[str, set[str], set[str]]:
    """The verdict, what leaked, and to whom."""
    return outcome.verdict, set(outcome.exposed), set(outcome.to)
