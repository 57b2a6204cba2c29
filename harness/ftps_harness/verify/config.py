"""`ftps-lab.toml`: findings that the user accepts, each with a reason and an optional end date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from ftps_harness.errors import UsageError
from ftps_harness.scenario.problems import did_you_mean
from ftps_harness.scenario.reading import toml_file
from ftps_harness.verify.explain import KINDS_OF_TRIALS
from ftps_harness.verify.findings import KINDS, Finding, Suppression

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAME = "ftps-lab.toml"

_KEYS = frozenset({"id", "host", "reason", "until"})


@dataclass(frozen=True, slots=True)
class Ignore:
    """One `[[verify.ignore]]`.

    Attributes:
        id: The finding's id.
        reason: Why it is ignored.
        host: Applies only to setups for this host; None for any host.
        until: The last day on which it applies; None for no end.
    """

    id: str
    reason: str
    host: str | None = None
    until: date | None = None

    def fits(self, found: Finding, host: str) -> bool:
        """Whether this entry matches the finding, expired or not."""
        return self.id == found.id and self.host in {None, host}

    def holds_on(self, day: date) -> bool:
        """Whether the entry is still valid on this day."""
        return self.until is None or day <= self.until


def find(folder: Path) -> Path | None:
    """Find the file in this folder or the nearest parent that has it."""
    return next((each / NAME for each in (folder, *folder.parents) if (each / NAME).is_file()), None)


def load(path: Path) -> tuple[Ignore, ...]:
    """Read the file.

    Raises:
        UsageError: It cannot be read, or something in it is unknown or missing; the message names file and key.
    """
    verify = toml_file(path).get("verify", {})
    if not isinstance(verify, dict) or (unknown := set(verify) - {"ignore"}):
        raise UsageError(
            f"{path}: [verify] has unknown keys: {', '.join(sorted(unknown))}; it takes only [[verify.ignore]]"
        )
    tables = verify.get("ignore", [])
    if not isinstance(tables, list):
        raise UsageError(f"{path}: write [[verify.ignore]] in double brackets, one table for each finding")
    return tuple(_ignore(path, number, table) for number, table in enumerate(tables, 1))


def _ignore(path: Path, number: int, table: Mapping[str, object]) -> Ignore:
    where = f"{path}: [[verify.ignore]] number {number}"
    if unknown := sorted(set(table) - _KEYS):
        raise UsageError(f"{where}: unknown key {unknown[0]!r}.{did_you_mean(unknown[0], sorted(_KEYS))}")
    kind, reason, host, until = (table.get(key) for key in ("id", "reason", "host", "until"))
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(f"{where}: id must be a finding id.{did_you_mean(str(kind), KINDS)}")
    if not isinstance(reason, str) or not reason.strip():
        raise UsageError(f"{where}: reason must not be empty")
    if not (host is None or isinstance(host, str)):
        raise UsageError(f"{where}: host must be a name in quotes")
    if isinstance(until, datetime) or not (until is None or isinstance(until, date)):
        raise UsageError(f"{where}: until must be a date such as 2027-01-31, without quotes")
    return Ignore(kind, reason.strip(), host, until)


def suppressed(
    findings: Sequence[Finding],
    ignores: Sequence[Ignore],
    host: str,
    *,
    complete: bool = True,
    today: date | None = None,
) -> list[Finding]:
    """Mark the ignored findings, and add a note for each entry that no longer has any effect.

    Args:
        findings: All findings.
        ignores: The entries of the file.
        host: The host that the setup is for.
        complete: Every trial was run and judged. Otherwise a missing finding does not prove that it is gone.
        today: None for the current day in UTC.
    """
    day = today or datetime.now(UTC).date()
    result = []
    for each in findings:
        entry = next((ignore for ignore in ignores if ignore.fits(each, host) and ignore.holds_on(day)), None)
        until = entry.until.isoformat() if entry and entry.until else None
        result.append(replace(each, suppressed=Suppression(entry.reason, until)) if entry else each)
    idle = (i for i in ignores if i.host in {None, host} and not any(i.fits(each, host) for each in findings))
    return result + [_stale(each) for each in idle if complete or each.id not in KINDS_OF_TRIALS]


def _stale(entry: Ignore) -> Finding:
    of = f", host {entry.host!r}" if entry.host else ""
    title = f"{NAME} ignores {entry.id}, which does not occur in this setup."
    cure = f"Delete the [[verify.ignore]] with id {entry.id!r}{of} from {NAME}, unless another setup needs it."
    return Finding("rc-complaint", title, "note", cure=cure)
