"""`ftps-lab verify --sarif`: SARIF 2.1.0, with GitHub code scanning's requirements beyond the schema. Pure.

`partialFingerprints` holds our own fingerprint (`identity`), which stays the same when lines move. GitHub's
`primaryLocationLineHash` is left out: its upload step computes it from the files of the checkout.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ftps_harness.report.plain import harmless, verdict_words
from ftps_harness.verify.explain import explain
from ftps_harness.verify.findings import KINDS
from ftps_harness.verify.reports.identity import file_of, label, named, relative
from ftps_harness.verify.trials import GENUINE, TRIALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding, Kind, Proof, Suppression
    from ftps_harness.verify.reports.identity import Named

Json = dict[str, Any]

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE: Final = "%SRCROOT%"
_FINGERPRINT: Final = "ftpsLabFinding/v1"

_SECURITY: Final = {"error": "8.0", "warning": "5.0", "note": "2.0"}
"""Severity → GitHub's sort key: high from 7.0, medium from 4.0."""

_TITLES: Final = {trial.name: trial.title for trial in (GENUINE, *TRIALS)}


def text(reports: Sequence[Report], folder: Path) -> str:
    """The whole file: a run for each subject.

    Args:
        reports: One for each subject.
        folder: The current folder; files below it have relative paths.
    """
    ids = _categories(reports, folder)
    runs = [_Run(report, folder).json(each) for report, each in zip(reports, ids, strict=True)]
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}, indent=2) + "\n"


def _categories(reports: Sequence[Report], folder: Path) -> list[str]:
    """A category for each run, with a final slash so that all of it counts: GitHub refuses a file with duplicates."""
    times: dict[str, int] = {}
    result = []
    for report in reports:
        base = f"ftps-lab verify/{label(report.subject, folder)}"
        times[base] = times.get(base, 0) + 1
        result.append(f"{base}/" if times[base] == 1 else f"{base} ({times[base]})/")
    return result


@dataclass(frozen=True, slots=True)
class _Run:
    """One subject's run."""

    report: Report
    folder: Path

    def json(self, category: str) -> Json:
        kinds = [kind for kind in KINDS.values() if any(each.id == kind.id for each in self.report.findings)]
        index = {kind.id: number for number, kind in enumerate(kinds)}
        driver = {"name": "ftps-lab", "version": version("ftps-lab"), "rules": [_rule(kind) for kind in kinds]}
        report = self.report
        return {
            "tool": {"driver": driver},
            "automationDetails": {"id": category},
            "originalUriBaseIds": {_BASE: {"uri": f"file://{quote(os.fsencode(os.path.realpath(self.folder)))}/"}},
            "columnKind": "unicodeCodePoints",
            "invocations": [self._invocation()],
            "results": [self._result(each, index) for each in named(report, self.folder)],
            "properties": {
                "host": report.login.host,
                "place": report.place,
                **({"note": report.note} if report.note else {}),
                "lftp": report.lftp.version,
                "safe": report.safe,
                "tried": [each.trial.name for each in report.tried],
            },
        }

    def _invocation(self) -> Json:
        """Whether everything could be judged; each trial that could not be judged is a notification."""
        broken = [{"level": "error", "message": _message(why)} for why in self.report.broken]
        return {"executionSuccessful": not broken, "toolExecutionNotifications": broken}

    def _result(self, each: Named, index: dict[str, int]) -> Json:
        found = each.finding
        result: Json = {
            "ruleId": found.id,
            "ruleIndex": index[found.id],
            "level": found.severity,
            "message": _message(" ".join(_sentences(found))),
            "locations": [self._location(found)],
            "correlationGuid": each.guid,
            "partialFingerprints": {_FINGERPRINT: each.guid},
            "suppressions": [_suppression(found.suppressed)] if found.suppressed else [],
        }
        if found.proof is not None:
            result["codeFlows"] = [{"threadFlows": [{"locations": list(self._steps(found, found.proof))}]}]
        return result

    def _steps(self, found: Finding, proof: Proof) -> Iterator[Json]:
        """The client's actions, the server that it meets, and the leak."""
        got = " and ".join(sorted(proof.exposed))
        to = " and ".join(sorted(proof.to))
        steps = (
            f"lftp connects to {self.report.login.host} with this setup.",
            f"The trial is {proof.attack}: {_TITLES.get(proof.attack, proof.attack)}.",
            f"Exposed: {got} to {to}, in {proof.times} of {proof.of} runs."
            if got
            else f"Nothing was exposed, in {proof.of} runs.",
        )
        for order, step in enumerate(steps, 1):
            yield {"location": self._location(found) | {"message": _message(step)}, "executionOrder": order}

    def _location(self, found: Finding) -> Json:
        where = found.where
        path = file_of(self.report.subject) if where is None else Path(where.file)
        region: Json
        if where is None:
            region = _region(1, self._line(path, 1), None)
        else:
            region = _region(where.line, self._line(path, where.line), where.text)
        return {"physicalLocation": {"artifactLocation": self._artifact(path), "region": region}}

    def _line(self, path: Path, number: int) -> str:
        """The line as in the file; empty for a binary program."""
        everything = self.report.subject.everything
        file = ({each.path: each for each in everything.values()} | everything).get(path)
        lines = file.data.decode("utf-8", "replace").splitlines() if file is not None else []
        return lines[number - 1] if number <= len(lines) else ""

    def _artifact(self, path: Path) -> Json:
        below = relative(path, self.folder)
        if below is None:
            return {"uri": f"file://{quote(os.fsencode(os.path.realpath(path)))}"}
        return {"uri": quote(os.fsencode(below)), "uriBaseId": _BASE}


def _region(number: int, line: str, text: str | None) -> Json:
    """A line's region: the part that a finding quotes, or else the whole line, without a quotation."""
    start = line.find(text) + 1 if text else 1
    end = start + len(text) if text and start else len(line) + 1
    region: Json = {"startLine": number, "startColumn": start or 1, "endLine": number, "endColumn": end}
    return region | ({"snippet": {"text": text}} if text else {})


def _rule(kind: Kind) -> Json:
    return {
        "id": kind.id,
        "name": "".join(word.capitalize() for word in kind.id.split("-")),
        "shortDescription": {"text": kind.title},
        "fullDescription": {"text": f"{kind.title} {kind.cure}"},
        "help": {"text": explain(kind.id), "markdown": f"{kind.title}\n\n**What to do:** {kind.cure}\n"},
        "defaultConfiguration": {"level": kind.severity},
        "properties": {"security-severity": _SECURITY[kind.severity], "tags": ["security"]},
    }


def _sentences(found: Finding) -> Iterator[str]:
    yield found.title
    if found.proof is not None and found.proof.exposed:
        proof = found.proof
        yield f"{proof.attack}: {verdict_words('exposed', None, proof.exposed, proof.to)}, {proof.times} of {proof.of}."
    if found.cure:
        yield f"What to do: {found.cure}"


def _message(text: str) -> Json:
    """Plain text, with brackets escaped: they would form a link (SARIF 2.1.0 section 3.11.6)."""
    escaped = harmless(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return {"text": escaped}


def _suppression(suppressed: Suppression) -> Json:
    until = f" (until {suppressed.until})" if suppressed.until else ""
    return {"kind": "external", "status": "accepted", "justification": harmless(f"{suppressed.reason}{until}")}
