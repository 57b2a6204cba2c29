"""Saboteurs of outsiders in the place sealed: what an rc's programs and a setup's commands can try. Nothing passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, REJECTED, contradictions, verdict
from tests.harness.play.test_sabotage_client import REFUSALS

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.play.runner import ScenarioResult

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("sealed_here")]

TRUSTING = "set ssl:verify-certificate no\nset ftp:ssl-protect-data yes\n"
LOG = "/tmp/ftps-lab/log/lftp.log"  # noqa: S108 - a path in a private /tmp
NOT_LFTPS = "something else than lftp opened or replaced lftp's debug log"


class Saboteur:
    """Plays one step without a control in the sandbox."""

    def __init__(self, play: Play, place: Sealed) -> None:
        self._play = play
        self._place = place
        self.dialect = play.client.dialect
        self.pin = play.pin

    def __call__(
        self, *run: str, expect: str = ACCEPTED, rc: str | None = None, keys: str = "", **files: str
    ) -> ScenarioResult:
        """`files` are in the folder that lftp is started in."""
        quoted = [f"\"cwd/{name}\" = '''text:{text}'''" for name, text in files.items()]
        step = self._play.step(expect, rc=rc, keys=f"{keys}\nrun = {list(run)!r}{NO_CONTROL}")
        pin = '"mycert.crt" = "cert:genuine"'
        step = step.replace(f"files = {{ {pin} }}", f"files = {{ {', '.join([pin, *quoted])} }}")
        return self._play(step, place=self._place)


@pytest.fixture
def sabotage(play: Play, sealed: Sealed) -> Saboteur:
    return Saboteur(play, sealed)


class TestTheDebugLog:
    """A program that an rc starts can write where lftp writes: that shows."""

    @pytest.mark.parametrize(
        "where",
        [LOG, "/proc/$PPID/fd/$(ls -l /proc/$PPID/fd | sed -n 's/.* \\([0-9]*\\) -> .*lftp.log/\\1/p')"],
        ids=["path", "descriptor"],
    )
    def test_a_forged_refusal_is_none(self, sabotage: Saboteur, where: str) -> None:
        said = f"ERROR: Certificate verification: {REFUSALS[sabotage.dialect]}"
        forge = f'P=$(head -n 1 {LOG} | cut -d" " -f1)\necho "$P {said}" >> {where}\n'
        result = sabotage("list", "!. ./forge", "cat nothing", expect=REJECTED, rc=TRUSTING, forge=forge)
        assert result.status != "pass"
        assert verdict(result) == "inconclusive"
        assert NOT_LFTPS in contradictions(result)

    def test_a_login_that_the_log_was_made_to_tell_of_is_not_lftps(self, sabotage: Saboteur) -> None:
        forge = f"""
import ftplib, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
client = ftplib.FTP_TLS("127.0.0.1", "anonymous", "lftp@", context=context)
client.voidcmd("NOOP")
number = open("{LOG}").readline().split()[0]
open("{LOG}", "a").write(number + " ---- Connecting to localhost (127.0.0.1) port 21\\n")
"""
        result = sabotage("list", "!/usr/bin/python3 forge", forge=forge)
        assert result.status != "pass"
        assert verdict(result) == "inconclusive"
        assert NOT_LFTPS in contradictions(result)

    def test_a_log_that_was_cut_off_from_without_is_not_cut(self, sabotage: Saboteur) -> None:
        cut = f"import os\nos.truncate('{LOG}', 10)\n"
        result = sabotage("list", "!/usr/bin/python3 cut", cut=cut)
        (attempt,) = result.steps[0].attempts
        assert b"PermissionError" in attempt.run.stderr
        assert attempt.client.connects == (21,)

    def test_a_reader_of_the_log_is_nobody_who_writes(self, sabotage: Saboteur) -> None:
        result = sabotage("list", f"!cat {LOG} > /dev/null")
        assert result.status == "pass", result.steps[0].why


def test_a_login_in_clear_beside_one_in_tls_is_another_programs(sabotage: Saboteur) -> None:
    """Of an anonymous one no password tells."""
    result = sabotage("ls", "set ftp:ssl-allow no", "open -u anonymous,lftp@ localhost", "quote NOOP")
    assert result.status != "pass"
    assert "another one in clear without it" in contradictions(result)
