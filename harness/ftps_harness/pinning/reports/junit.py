"""`ftps-lab pin-check --junit`: a suite, with a case for each requirement. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.pinning.check import Report, Result
    from ftps_harness.pinning.record import Failure

_ELEMENTS: Final = {"fail": "failure", "error": "error", "not-claimed": "skipped"}


def text(report: Report) -> str:
    """The whole file."""
    cases = [_case(each) for each in report.results]
    counts = {
        name: str(sum(case.find(tag) is not None for case in cases))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    root = ET.Element("testsuites", name="ftps-lab pin-check")
    seconds = f"{sum(each.seconds for each in report.results):.3f}"
    name = harmless(" ".join(report.command))
    suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(cases)), time=seconds, attrib=counts)
    suite.extend(cases)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(result: Result) -> ET.Element:
    requirement = result.requirement
    case = ET.Element(
        "testcase",
        classname=f"pin-check.{requirement.level}",
        name=requirement.id,
        time=f"{result.seconds:.3f}",
    )
    if result.status in _ELEMENTS:
        element = ET.SubElement(case, _ELEMENTS[result.status], message=harmless(result.why))
        if result.status != "not-claimed":
            element.text = "\n".join(evidence(result))
    return case


def evidence(result: Result) -> Iterator[str]:
    """Everything behind a requirement that does not hold, line by line."""
    yield result.requirement.holds
    for failure in result.failures:
        yield from _failure(failure)
    if result.again:
        yield harmless(f"again: {result.again}")


def _failure(failure: Failure) -> Iterator[str]:
    yield ""
    yield from (f"done: {each}" for each in failure.done)
    yield f"seen: {failure.seen}"
    yield f"expected: {failure.expected}"
    yield from (f"output: {line}" for line in failure.output.splitlines())
    yield from (f"HOME: {line}" for line in failure.diff)
