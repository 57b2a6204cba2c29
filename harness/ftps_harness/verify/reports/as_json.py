"""`ftps-lab verify --json`, version 1 (docs/reference.md, "Of verify"). Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ftps_harness.report.json_report import SCHEMA, build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.judge import Tried

Json = dict[str, Any]


def text(reports: Sequence[Report], *, interrupted: bool = False) -> str:
    """The whole file: one subject, or ``subjects`` with one entry for each."""
    head: Json = {"schema": SCHEMA, "kind": "verify", **({"interrupted": True} if interrupted else {})}
    data = head | _report(reports[0]) if len(reports) == 1 else head | {"subjects": [_report(each) for each in reports]}
    return json.dumps(data, indent=2) + "\n"


def _report(report: Report) -> Json:
    return {
        "subject": {"path" if report.subject.is_path else "command": report.subject.given},
        "place": report.place,
        **({"note": report.note} if report.note else {}),
        "host": report.login.host,
        "lftp": build(report.lftp),
        "safe": report.safe,
        "findings": [_finding(each) for each in report.findings],
        "tried": [_tried(each) for each in report.tried],
        "summary": report.summary,
        **({"undecided": list(report.broken)} if report.broken else {}),
    }


def _finding(found: Finding) -> Json:
    where, proof, suppressed = found.where, found.proof, found.suppressed
    return {
        "id": found.id,
        "severity": found.severity,
        "title": found.title,
        "where": where and {"file": where.file, "line": where.line, "text": where.text},
        "proof": proof
        and {
            "attack": proof.attack,
            "exposed": list(proof.exposed),
            "to": list(proof.to),
            "times": proof.times,
            "of": proof.of,
            "again": proof.again,
        },
        "cure": found.cure,
        "suppressed": suppressed and {"reason": suppressed.reason, "until": suppressed.until},
    }


def _tried(tried: Tried) -> Json:
    return {
        "attack": tried.trial.name,
        "verdict": tried.verdict,
        "exposed": sorted(tried.exposed),
        "to": sorted(tried.to),
        "counts": dict(tried.counts),
    }
