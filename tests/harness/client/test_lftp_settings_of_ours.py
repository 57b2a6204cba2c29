"""The rc's settings for time and retries override the lab's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.client.lftp import settings_of_ours

if TYPE_CHECKING:
    from tests.harness.conftest import Play

OURS = {
    *("net:timeout", "net:max-retries", "net:reconnect-interval-base", "net:reconnect-interval-multiplier"),
    *("net:reconnect-interval-max", "dns:order", "dns:max-retries", "dns:name/localhost"),
}


def setting_names(rc: str | None) -> set[str]:
    return {command.split()[2] for command in settings_of_ours("localhost", rc=rc)}


@pytest.mark.parametrize(
    ("rc", "left_out"),
    [
        (None, set()),
        ("set net:timeout 30s\n", {"net:timeout"}),
        ("set ftp:ssl-force yes;set net:max-retries 1", {"net:max-retries"}),
        ("  SET max_retries 7\nset dns:order 'inet6 inet'", {"net:max-retries", "dns:max-retries", "dns:order"}),
        ("set net:reconnect-interval-base 5\n", {"net:reconnect-interval-base"}),
        ("# set net:timeout 30s\n", set()),
        ("set net:timeout/other.example 30s\n", set()),
        ("set net:timeout\n", set()),
        ("set dns:max-retries 9\nset mirror:order x\n", {"dns:max-retries"}),
        ('"set" "net:max-retries" "7"\ncommand set net:timeout 3', {"net:max-retries", "net:timeout"}),
        ("se net:timeo 3; set net:reconnect-interval-ma 9", {"net:timeout", "net:reconnect-interval-max"}),
        ("set net:reconnect-interval 9\nalias x 'set net:timeout 3'\n!set net:timeout 3", set()),
    ],
)
def test_global_settings_of_the_rc_are_left_out_of_ours(rc: str | None, left_out: set[str]) -> None:
    assert setting_names(rc) == OURS - left_out


@pytest.mark.parametrize(("rc", "tries"), [("", 2), ("set net:max-retries 1\n", 1), ("set net:max-retries 3\n", 3)])
def test_lftp_retries_as_often_as_the_rc_says(play: Play, rc: str, tries: int) -> None:
    step = play.step('verdict = "failed"', rc=play.pin + rc, keys='run = ["ls"]')
    (result,) = play(step, server='attack = "drop-at-auth"').steps
    assert result.status == "pass"
    assert len(result.shown.testimony.connections) == tries


@pytest.mark.parametrize("file", ['more = "text:', '"cwd/.lftprc" = "text:'])
def test_settings_of_a_sourced_file_and_of_lftprc_count_too(play: Play, file: str) -> None:
    rc = play.pin + ("so ~/.lftp/more\n" if file.startswith("more") else "")
    step = play.step('verdict = "failed"', rc=rc, keys='run = ["ls"]')
    step = step.replace("files = { ", f'files = {{ {file}set net:max-retries 3\\n", ')
    (result,) = play(step, server='attack = "drop-at-auth"').steps
    assert result.status == "pass", result.why
    assert len(result.shown.testimony.connections) == 3
