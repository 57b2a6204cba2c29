"""Requirements tried on small tools; a tool that does nothing keeps none of them."""

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

    Tried = Callable[..., dict[str, Result]]

BLIND = """#!/bin/sh
mkdir -p "$HOME/.lftp" && echo "set ssl:verify-certificate no" >"$HOME/.lftp/rc"
"""


def test_a_small_right_tool_keeps_the_middle_of_the_contract(tried: Tried) -> None:
    found = tried("small.sh", "connects", "impostor-refused", "name-check-on", "change-refused", "fingerprint-shown")
    assert {name: result.status for name, result in found.items()} == dict.fromkeys(found, "pass")


RELATIVE = """#!/bin/sh
mkdir -p "$HOME/.lftp"
openssl s_client -starttls ftp -connect "$1:$2" </dev/null 2>/dev/null | openssl x509 >"$HOME/.lftp/mycert.crt"
openssl x509 -in "$HOME/.lftp/mycert.crt" -noout -fingerprint -sha256
echo 'set ssl:ca-file "mycert.crt"' >"$HOME/.lftp/rc"
"""


def test_a_pin_that_counts_in_one_folder_is_tried_and_does_not_connect(tried: Tried) -> None:
    found = tried(RELATIVE, "connects", "fingerprint-shown")
    assert {name: result.status for name, result in found.items()} == {"connects": "fail", "fingerprint-shown": "pass"}
    assert "rejected" in found["connects"].why


def test_a_tool_that_switches_verification_off_is_caught_by_lftp(tried: Tried) -> None:
    found = tried(BLIND, "impostor-refused", "verification-on")
    assert {result.status for result in found.values()} == {"fail"}
    assert "exposed: password" in found["impostor-refused"].why
    first = found["impostor-refused"].failures[0]
    assert any("lftp met an impostor" in each for each in first.done)
    assert any("set ssl:verify-certificate no" in line for line in first.diff)


@pytest.mark.parametrize("tool", ["#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 1\n"])
def test_a_tool_that_does_nothing_keeps_nothing(tool: str, client: Lftp, sealed_here: None, tmp_path: Path) -> None:
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


def test_what_a_tool_does_not_claim_is_shown_and_a_stale_entry_fails(tried: Tried) -> None:
    found = tried("small.sh", "usable-or-told", "connects", usable_or_told="the owner knows", connects="it cannot")
    assert (found["usable-or-told"].status, found["usable-or-told"].why) == ("not-claimed", "the owner knows")
    assert found["usable-or-told"].failures
    assert found["connects"].status == "fail"
    assert "remove that entry" in found["connects"].why


def test_a_command_that_was_not_given(tried: Tried) -> None:
    found = tried("small.sh", "repin", "fingerprint-expected")
    assert (found["repin"].status, found["fingerprint-expected"].status) == ("fail", "not-claimed")
    assert "--repin" in found["repin"].why
    assert "--with-fingerprint" in found["fingerprint-expected"].why


def test_what_the_tool_prints_can_do_nothing_to_a_terminal(tried: Tried) -> None:
    loud = "#!/bin/sh\nprintf '\\033]0;owned\\007'\n" + BLIND.partition("\n")[2]
    found = tried(loud, "impostor-refused")
    assert "\x1b" not in found["impostor-refused"].failures[0].output
    assert "\\x1b" in found["impostor-refused"].failures[0].output


def test_a_fingerprint_says_nothing_of_an_authority() -> None:
    assert not trust.names_authority(b"SHA-256 11:CA:22:33:44:55:66:77:88\n11 CA 22 33 44 55 66 77 88\n")
    assert trust.names_authority(b"SHA-256 11:CA:22:33:44:55:66:77:88\nthis pins a CA\n")
