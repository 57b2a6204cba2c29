"""`ftps-lab verify --junit`: a suite for each subject, a case for each trial and each finding. Pure.

It uses only attributes and elements of the schema with which Jenkins' xUnit plugin validates files (junit-10.xsd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from ftps_harness.report.plain import harmless
from ftps_harness.verify.explain import KINDS_OF_TRIALS
from ftps_harness.verify.findings import at_least
from ftps_harness.verify.judge import IMPLIED
from ftps_harness.verify.reports.identity import label, named
from ftps_harness.verify.reports.words import proof_words, result_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding, Severity
    from ftps_harness.verify.judge import Tried

_COUNTED: Final = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def text(reports: Sequence[Report], fail_on: Severity, folder: Path) -> str:
    """The whole file.

    Args:
        reports: One for each subject.
        fail_on: Findings of at least this severity are failures; milder ones have no case.
        folder: The current folder.
    """
    root = ET.Element("testsuites", name="ftps-lab verify")
    for report in reports:
        root.append(_suite(report, fail_on, folder))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(report: Report, fail_on: Severity, folder: Path) -> ET.Element:
    name = label(report.subject, folder)
    class_name = name.replace(".", "_")  # Jenkins splits package names at dots
    cases = [*_trials(report, fail_on, f"{class_name}.trial"), *_findings(report, fail_on, folder, class_name)]
    counts = {key: str(sum(case.find(tag) is not None for case in cases)) for key, tag in _COUNTED.items()}
    suite = ET.Element("testsuite", name=f"ftps-lab verify {name}", tests=str(len(cases)), attrib=counts)
    facts = {"host": report.login.host, "place": report.place, "lftp": report.lftp.version, "tls": report.lftp.tls}
    facts |= {"note": report.note} if report.note else {}
    properties = ET.SubElement(suite, "properties")
    for fact, value in facts.items():
        ET.SubElement(properties, "property", name=fact, value=harmless(str(value)))
    suite.extend(cases)
    return suite


def _trials(report: Report, fail_on: Severity, class_name: str) -> Iterator[ET.Element]:
    """A case for each trial: an error if it could not be judged, a failure if it shows a failing finding."""
    broken = {name: why for name, _, why in (each.partition(": ") for each in report.broken)}
    failing = [each for each in report.findings if _fails(each, fail_on)]
    for tried in report.tried:
        case = ET.Element("testcase", classname=class_name, name=tried.trial.name)
        happened = result_words(tried)
        if tried.trial.name in broken:
            ET.SubElement(case, "error", message=harmless(broken.pop(tried.trial.name)))
        elif _shows(tried, failing):
            ET.SubElement(case, "failure", message=happened).text = harmless(tried.trial.title)
        else:
            ET.SubElement(case, "system-out").text = f"{harmless(tried.trial.title)}: {happened}"
        yield case
    for name, why in broken.items():
        case = ET.Element("testcase", classname=class_name, name=harmless(name))
        ET.SubElement(case, "error", message=harmless(why or name))
        yield case


def _shows(tried: Tried, failing: Sequence[Finding]) -> bool:
    """Whether a trial proves a failing finding, or is another trial with the same meaning."""
    if any(each.proof is not None and each.proof.attack == tried.trial.name for each in failing):
        return True
    ids = {kind for each in failing for kind in (each.id, *IMPLIED.get(each.id, ()))}
    kinds = {kind for each in ids for kind in KINDS_OF_TRIALS.get(each, ())}
    got = bool(tried.exposed) or (tried.trial.kind == "expired" and tried.verdict == "accepted")
    return got and tried.trial.kind in kinds


def _fails(found: Finding, fail_on: Severity) -> bool:
    return at_least(found.severity, fail_on) and found.suppressed is None


def _findings(report: Report, fail_on: Severity, folder: Path, class_name: str) -> Iterator[ET.Element]:
    """A case for each finding that is severe enough; an ignored one is skipped, with the reason."""
    for each in named(report, folder):
        found = each.finding
        if not at_least(found.severity, fail_on):
            continue
        case = ET.Element("testcase", classname=f"{class_name}.finding", name=each.name)
        if found.suppressed is not None:
            until = f" (until {found.suppressed.until})" if found.suppressed.until else ""
            ET.SubElement(case, "skipped", message=harmless(f"ignored: {found.suppressed.reason}{until}"))
        else:
            failure = ET.SubElement(case, "failure", type=found.severity, message=harmless(found.title))
            failure.text = "\n".join(_evidence(report, found))
        yield case


def _evidence(report: Report, found: Finding) -> Iterator[str]:
    if found.where is not None:
        yield harmless(f"line: {found.where.file}:{found.where.line}: {found.where.text}")
    if found.proof is not None:
        yield f"proof: {proof_words(found.proof)}"
        if not report.subject.argv:  # a command line may hold a password, and this file is kept
            yield harmless(f"again: {found.proof.again}")
    if found.cure:
        yield harmless(f"cure: {found.cure}")
