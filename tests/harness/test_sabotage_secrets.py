"""Passwords in disguise: whatever way a setup sends one, the witnesses find it. The real lftp throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.outcomes import leaked
from tests.harness.sabotage import EXPOSED

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.runner import ScenarioResult

WRITTEN = {
    "plain": "printf %s $LFTP_PASSWORD",
    "with a blank": "printf '%s ' $LFTP_PASSWORD",
    "within a path": "printf '/home/%s/x' $LFTP_PASSWORD",
    "base64": "printf %s $LFTP_PASSWORD | base64 -w0",
    "base64 of user:password": "printf 'backup:%s' $LFTP_PASSWORD | base64 -w0",
    "base64, shifted": "printf 'me:%s' $LFTP_PASSWORD | base64 -w0",
    "hex": "printf %s $LFTP_PASSWORD | od -An -v -tx1 | tr -d ' \\n'",
    "percent-encoded": "printf %s $LFTP_PASSWORD | od -An -v -tx1 | tr ' ' % | tr -d '\\n'",
}
VERBS = ["USER %s", "ACCT %s", "SITE x %s", "CWD %s", "%s"]
ANONYMOUS = 'user = "anonymous"\n'
IN_CLEAR = 'protocol = "plain"\n'
IMPOSTOR = 'protocol = "implicit"\nrole = "impostor"\n'


def told(play: Play, server: str, line: str, written: str) -> ScenarioResult:
    """An anonymous session that says one line more, with the run's own password in it, made by a shell."""
    lines = line.replace("%s", "`" + written + "`")
    run = f"""run = [\'\'\'!echo "quote {lines}" > say\'\'\', "source say", "list"]\n"""
    return play(play.step(EXPOSED, rc="set ssl:verify-certificate no", keys=ANONYMOUS + run), server=server)


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_a_password_in_any_usual_encoding_is_one(play: Play, written: str) -> None:
    outcome = told(play, IN_CLEAR, "SITE %s", written).steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"wire"})
    outcome = told(play, IMPOSTOR, "SITE %s", written).steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})


@pytest.mark.parametrize("line", VERBS)
@pytest.mark.parametrize("written", ["plain", "base64"])
def test_a_password_in_any_command_is_one(play: Play, line: str, written: str) -> None:
    outcome = told(play, IMPOSTOR, line, WRITTEN[written]).steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})


def test_an_anonymous_session_alone_tells_no_password(play: Play) -> None:
    """The counterpart: what is found above is the password, and not the session."""
    for server, to in ((IN_CLEAR, {"wire"}), (IMPOSTOR, {"impostor"})):
        step = play.step(EXPOSED, rc="set ssl:verify-certificate no", keys=ANONYMOUS + 'run = ["list"]\n')
        outcome = play(step, server=server).steps[0].attempts[0].outcome
        assert leaked(outcome) == ("exposed", {"payload"}, to)


@pytest.mark.parametrize("keys", ["", 'user = "me"\npassword = "a/b c?d>e"\n'], ids=["the run's", "the step's"])
def test_basic_authentication_to_a_proxy_is_a_password_in_clear(play: Play, keys: str) -> None:
    rc = play.pin + "set ftp:ssl-force yes\nset ftp:proxy http://127.0.0.1:{port}\n"
    # The FTP server makes nothing of HTTP, and lftp would wait for it in vain.
    played = play(play.step(EXPOSED, rc=rc, keys=keys + 'run = ["list"]\n'), timeout=2.0)
    outcome = played.steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password"}, {"wire"})
