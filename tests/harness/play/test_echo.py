"""Text that lftp prints itself is not received content; received content counts, whatever else is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, REJECTED, contradictions, verdict

if TYPE_CHECKING:
    from tests.harness.conftest import Play

VERBOSE_SETTINGS = {
    "trace": "set cmd:trace yes",
    "verbose": "set cmd:verbose yes",
    "log": "set xfer:log yes\nset xfer:log-file ~/x.log",
    "log in a folder for downloads": "set xfer:log yes\nset xfer:log-file ~/transfer_log",
    "debug": "debug -o ~/debug.log 9",
    "echo": "set cmd:at-exit 'history; jobs; cache'",
}


@pytest.mark.parametrize("rc", VERBOSE_SETTINGS.values(), ids=VERBOSE_SETTINGS)
@pytest.mark.parametrize("run", ['["get"]', '["list", "get", "put", "mirror"]'], ids=["get", "all"])
def test_refusal_is_rejected_although_lftp_prints_its_commands(play: Play, rc: str, run: str) -> None:
    keys = f"run = {run}{NO_CONTROL}"
    result = play(play.step(REJECTED, rc=rc + "\n", keys=keys))
    assert (verdict(result), contradictions(result)) == ("rejected", "")


@pytest.mark.parametrize("rc", ["", "set cmd:trace yes\nset cmd:verbose yes\n"], ids=["quiet", "loud"])
@pytest.mark.long
def test_refused_data_is_rejected_although_lftp_prints_its_commands(play: Play, rc: str) -> None:
    """The listing and the file were sent to lftp, which took none of them."""
    keys = f'run = ["list", "get", "mirror"]{NO_CONTROL}'
    server = 'certificate = "genuine"\ndata_certificate = "stranger"\ntls = ["1.3"]\n'
    result = play(play.step(REJECTED, rc=play.pin + rc, keys=keys), server=server)
    assert (verdict(result), contradictions(result)) == ("rejected", "")


@pytest.mark.parametrize(
    "command", ["list", "ls", "nlist", "cls", "find", "ls > ~/transfer_log", "cls > ~/.lftp/transfer_log"]
)
@pytest.mark.parametrize("rc", ["", "set cmd:trace yes\n"], ids=["quiet", "trace"])
def test_received_listing_is_content(play: Play, rc: str, command: str) -> None:
    """It comes from a stranger on the data channel, and the client accepts any certificate there."""
    rc = f"set ssl:verify-certificate no\n{rc}"
    step = play.step('verdict = "exposed"\nto = ["impostor"]', rc=rc, keys=f'run = ["{command}"]')
    result = play(step, server='certificate = "genuine"\ndata_certificate = "stranger"\n')
    (attempt,) = result.steps[0].attempts
    assert attempt.client.holds_payload
    assert "payload" in attempt.outcome.exposed
    assert "impostor" in attempt.outcome.to


@pytest.mark.parametrize("command", ["ls > ~/../log/x", "cls > ~/../log/x", "ls >> ~/../log/lftp.log"])
def test_listing_beside_the_debug_log_is_content(play: Play, command: str) -> None:
    rc = "set ssl:verify-certificate no\n"
    step = play.step('verdict = "exposed"', rc=rc, keys=f'run = ["{command}"]')
    result = play(step, server='certificate = "genuine"\ndata_certificate = "stranger"\n')
    assert result.steps[0].attempts[0].client.holds_payload


@pytest.mark.parametrize("command", ["ls > /dev/stderr", "cat FILE > /dev/stderr"])
def test_content_on_standard_error_is_content(play: Play, command: str) -> None:
    """`!cat` and redirections can send content there; names in lftp's complaints are not content."""
    files = 'files = { "mycert.crt" = "cert:genuine", "cwd/own" = "text:a file of the user\'s own" }'
    step = play.step(
        'verdict = "exposed"', rc="set ssl:verify-certificate no\n", keys=f"run = ['put own', '{command}']"
    )
    step = step.replace('files = { "mycert.crt" = "cert:genuine" }', files).replace("FILE", "own")
    result = play(step, server='certificate = "genuine"\ndata_certificate = "stranger"\n')
    assert result.steps[0].attempts[0].client.holds_payload


def test_requests_are_carried_out_with_trace(play: Play) -> None:
    rc = play.pin + "set cmd:trace yes\n"
    result = play(play.step(ACCEPTED, rc=rc, keys='run = ["list", "get", "put", "mirror"]'))
    assert result.status == "pass", result.steps[0].why


@pytest.mark.parametrize(
    "command",
    [
        *("glob --exist file*", "glob lcd tree*", "mirror -x . . kept", "glob cat file* > /dev/null", "du -s > x"),
        "glob cd tree*; bookmark add x",
    ],
)
def test_content_of_an_accepted_impostor_counts_whatever_is_kept_of_it(play: Play, command: str) -> None:
    """lftp logs in to it anonymously without verification, and refuses it afterwards."""
    refused = "close -a; set ssl:verify-certificate yes; open -u {user},{password} -p {port} ftp://localhost; ls"
    allowed = "set ftp:ssl-allow-anonymous yes; open -u anonymous,lftp@ -p {port} ftp://localhost"
    run = [f"{allowed}; {command}", refused]
    step = play.step(
        'verdict = "exposed"\nexposed = ["payload"]', rc="set ssl:verify-certificate no\n", keys=f"run = {run!r}"
    )
    result = play(step, server='role = "impostor"\n')
    (attempt,) = result.steps[0].attempts
    assert (attempt.outcome.verdict, set(attempt.outcome.exposed)) == ("exposed", {"payload"})
