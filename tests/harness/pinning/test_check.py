"""Requirements checked on small tools; a tool that does nothing keeps none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.pinning.check import NOT_TRIED, Checker
from ftps_harness.pinning.checks import trust
from ftps_harness.pinning.command import load
from ftps_harness.pinning.contract import REQUIREMENTS
from ftps_harness.play.places.sealed import SealedPlaces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.pinning.check import Result

    CheckTool = Callable[..., dict[str, Result]]

BLIND = """#!/bin/sh
mkdir -p "$HOME/.lftp" && echo "set ssl:verify-certificate no" >"$HOME/.lftp/rc"
"""


def test_small_correct_tool_keeps_five_requirements(check_tool: CheckTool) -> None:
    found = check_tool(
        "small.sh", "connects", "impostor-refused", "name-check-on", "change-refused", "fingerprint-shown"
    )
    assert {name: result.status for name, result in found.items()} == dict.fromkeys(found, "pass")


RELATIVE = """#!/bin/sh
mkdir -p "$HOME/.lftp"
openssl s_client -starttls ftp -connect "$1:$2" </dev/null 2>/dev/null | openssl x509 >"$HOME/.lftp/mycert.crt"
openssl x509 -in "$HOME/.lftp/mycert.crt" -noout -fingerprint -sha256
echo 'set ssl:ca-file "mycert.crt"' >"$HOME/.lftp/rc"
"""


@pytest.mark.long
def test_relative_pin_path_fails_connects(check_tool: CheckTool) -> None:
    found = check_tool(RELATIVE, "connects", "fingerprint-shown")
    assert {name: result.status for name, result in found.items()} == {"connects": "fail", "fingerprint-shown": "pass"}
    assert "rejected" in found["connects"].why


def test_tool_that_disables_verification_fails_impostor_refused(check_tool: CheckTool) -> None:
    found = check_tool(BLIND, "impostor-refused", "verification-on")
    assert {result.status for result in found.values()} == {"fail"}
    assert "exposed: password" in found["impostor-refused"].why
    first = found["impostor-refused"].failures[0]
    assert any("lftp connected to an impostor" in each for each in first.done)
    assert any("set ssl:verify-certificate no" in line for line in first.diff)


@pytest.mark.parametrize("tool", ["#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 1\n"])
def test_tool_that_pins_nothing_fails_every_requirement(
    tool: str, client: Lftp, sealed_here: None, tmp_path: Path
) -> None:
    path = tmp_path / "tool"
    path.write_text(tool)
    path.chmod(0o755)
    made = load([str(path), "{host}"], None, None, tmp_path)
    with SealedPlaces([client.path, *made.programs]) as places:
        checker = Checker(made, client, places, 20.0, {})
        failures = checker.begin()
    assert failures
    results = [checker.untried(each, failures) for each in REQUIREMENTS]
    assert {(each.status, each.why) for each in results} == {("fail", NOT_TRIED)}


@pytest.mark.long
def test_unclaimed_requirement_is_shown_and_a_stale_entry_fails(check_tool: CheckTool) -> None:
    found = check_tool("small.sh", "usable-or-told", "connects", usable_or_told="the owner knows", connects="it cannot")
    assert (found["usable-or-told"].status, found["usable-or-told"].why) == ("not-claimed", "the owner knows")
    assert found["usable-or-told"].failures
    assert found["connects"].status == "fail"
    assert "remove that entry" in found["connects"].why


def test_missing_command_fails_repin_and_leaves_fingerprint_unclaimed(check_tool: CheckTool) -> None:
    found = check_tool("small.sh", "repin", "fingerprint-expected")
    assert (found["repin"].status, found["fingerprint-expected"].status) == ("fail", "not-claimed")
    assert "--repin" in found["repin"].why
    assert "--with-fingerprint" in found["fingerprint-expected"].why


def test_control_characters_in_the_tools_output_are_escaped(check_tool: CheckTool) -> None:
    loud = "#!/bin/sh\nprintf '\\033]0;owned\\007'\n" + BLIND.partition("\n")[2]
    found = check_tool(loud, "impostor-refused")
    assert "\x1b" not in found["impostor-refused"].failures[0].output
    assert "\\x1b" in found["impostor-refused"].failures[0].output


def test_ca_in_a_fingerprint_does_not_name_an_authority() -> None:
    assert not trust.names_authority(b"SHA-256 11:CA:22:33:44:55:66:77:88\n11 CA 22 33 44 55 66 77 88\n")
    assert trust.names_authority(b"SHA-256 11:CA:22:33:44:55:66:77:88\nthis pins a CA\n")
