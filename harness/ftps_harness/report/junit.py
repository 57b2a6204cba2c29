"""`--junit`: one test suite for each lftp build, one test case for each scenario. Pure; the caller writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ftps_harness.report.account import again, step_sections
from ftps_harness.report.plain import harmless, whys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.report.tally import BuildRun

_ELEMENTS = {"fail": "failure", "error": "error", "skip": "skipped"}


def text(runs: Sequence[BuildRun]) -> str:
    """The whole file."""
    root = ET.Element("testsuites", name="ftps-lab")
    for run in runs:
        root.append(_suite(run))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(run: BuildRun) -> ET.Element:
    counts, lftp = run.counts, run.lftp
    suite = ET.Element(
        "testsuite",
        name=f"ftps-lab with lftp {harmless(lftp.version)}",
        tests=str(len(run.results)),
        failures=str(counts["fail"]),
        errors=str(counts["error"]),
        skipped=str(counts["skip"]),
        time=f"{run.seconds:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name in ("path", "version", "tls", "dialect"):
        ET.SubElement(properties, "property", name=f"lftp.{name}", value=harmless(str(getattr(lftp, name))))
    suite.extend(_case(run, result) for result in run.results)
    return suite


def _case(run: BuildRun, result: ScenarioResult) -> ET.Element:
    area, _, case = result.scenario.id.rpartition("/")
    element = ET.Element("testcase", classname=harmless(area), name=harmless(case), time=f"{result.seconds:.3f}")
    if result.status in _ELEMENTS:
        child = ET.SubElement(element, _ELEMENTS[result.status], message=_message(result))
        if result.status != "skip":
            child.text = "\n".join(evidence(run, result))
    return element


def _message(result: ScenarioResult) -> str:
    if result.why:
        return harmless(result.why)
    step = next(step for step in result.steps if step.status != "pass")
    sentences = whys(step)
    return "; ".join((harmless(step.title), *sentences))


def evidence(run: BuildRun, result: ScenarioResult) -> Iterator[str]:
    """Why a scenario did not pass, line by line, with the evidence of each unexpected step."""
    yield harmless(result.scenario.title)
    if result.why:
        yield harmless(result.why)
    for number, step in enumerate(result.steps, 1):
        if step.status == "pass":
            continue
        yield f"step {number}: {harmless(step.title)}"
        for section in step_sections(step):
            yield f"  {section.heading}"
            yield from (f"    {line}" for line in section.lines)
    yield f"again: {again(run, result)}"
