"""`ftps-lab pin-check --json`. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ftps_harness.pinning.contract import LEVELS
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from ftps_harness.pinning.check import Report, Result
    from ftps_harness.pinning.record import Failure


def text(report: Report) -> str:
    """The whole document, with a final newline."""
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """The document in its documented form (docs/reference.md)."""
    return {
        "schema": 1,
        "kind": "pin-check",
        "contract": report.contract,
        "command": list(report.command),
        **({"notes": list(report.notes)} if report.notes else {}),
        "requirements": [_requirement(each) for each in report.results],
        "summary": {level: {status: report.count(level, status) for status in ("pass", "fail")} for level in LEVELS},
        **({"interrupted": True} if report.interrupted else {}),
    }


def _requirement(result: Result) -> dict[str, Any]:
    return {
        "id": result.requirement.id,
        "level": result.requirement.level,
        "status": result.status,
        "why": harmless(result.why),
        "seconds": round(result.seconds, 3),
        **({"failures": [_failure(each) for each in result.failures]} if result.failures else {}),
    }


def _failure(failure: Failure) -> dict[str, Any]:
    """One failure; the recordings of what lftp met are for pages only."""
    return {
        "done": failure.done,
        "expected": failure.expected,
        "seen": failure.seen,
        "output": failure.output,
        "diff": failure.diff,
    }
