"""For GitHub: annotations of a workflow run, and a job summary in Markdown. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ftps_harness.report.plain import plural, verdict_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding

_MOST: Final = 9
"""GitHub shows 10 annotations of a kind per step and silently drops the rest: we send nine and one with the count."""

_COMMANDS: Final = {"error": "error", "warning": "warning", "note": "notice"}


def commands(reports: Sequence[Report]) -> Iterator[str]:
    """A workflow command for each finding, the most severe first; at most ten of each kind."""
    for severity, command in _COMMANDS.items():
        found = [f for report in reports for f in report.findings if f.severity == severity and not f.suppressed]
        shown = found if len(found) <= _MOST + 1 else found[:_MOST]
        yield from (_annotation(command, each) for each in shown)
        if len(found) > len(shown):
            yield f"::{command} title=ftps-lab verify::{len(found) - len(shown)} more findings; the log lists them all"


def _annotation(command: str, found: Finding) -> str:
    where = ""
    if found.where is not None:
        where = f"file={_property(found.where.file)},line={found.where.line},"
    cure = f" {found.cure}" if found.cure else ""
    return f"::{command} {where}title={_property(found.id)}::{_message(found.title + cure)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def markdown(reports: Sequence[Report]) -> str:
    """A job summary."""
    return "\n".join(line for report in reports for line in _summary(report)) + "\n"


def _summary(report: Report) -> Iterator[str]:
    answer = "safe" if report.safe else "not safe" if not report.broken or report.count("error") else "undecided"
    yield f"## ftps-lab verify: `{_code(report.subject.given)}` is {answer}"
    yield ""
    counts = ", ".join(plural(report.count(severity), severity) for severity in ("error", "warning", "note"))
    yield f"{counts}; {len(report.tried)} trials against `{_code(report.login.host)}`, lftp {report.lftp.version}."
    yield ""
    if report.note:
        yield f"{_cell(report.note)}."
        yield ""
    if report.findings:
        yield "| severity | finding | line | exposed | cure |"
        yield "| --- | --- | --- | --- | --- |"
        yield from (_row(each) for each in report.findings)
        yield ""


def _row(found: Finding) -> str:
    where = f"`{_code(found.where.file)}:{found.where.line}`" if found.where else ""
    proof = found.proof
    got = f"{verdict_words('exposed', None, proof.exposed, proof.to)} ({proof.times} of {proof.of})" if proof else ""
    severity = f"{found.severity} (ignored: {found.suppressed.reason})" if found.suppressed else found.severity
    title = f"`{found.id}`: {_cell(found.title)}"
    return f"| {_cell(severity)} | {title} | {where} | {_cell(got)} | {_cell(found.cure or '')} |"


def _cell(text: str) -> str:
    """Text of a table cell, with markup escaped."""
    escaped = "".join(f"\\{letter}" if letter in r"\`*_[]<>|#" else letter for letter in text)
    return " ".join(escaped.split())


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").replace("|", "\\|").split())
