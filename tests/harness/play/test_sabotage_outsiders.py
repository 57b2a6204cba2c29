"""Sabotage in the sealed place by an rc's programs and a setup's commands. Nothing passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, REJECTED, contradictions, verdict
from tests.harness.play.test_sabotage_client import REFUSALS

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.play.runner import ScenarioResult

pytestmark = [pytest.mark.long, pytest.mark.lftp, pytest.mark.usefixtures("sealed_here")]

TRUSTING = "set ssl:verify-certificate no\nset ftp:ssl-protect-data yes\n"
LOG = "/tmp/ftps-lab/log/lftp.log"  # noqa: S108 - a path in a private /tmp
FOREIGN_WRITER = "something other than lftp opened or replaced lftp's debug log"


class Saboteur:
    """Plays one step in the sandbox without a control."""

    def __init__(self, play: Play, place: Sealed) -> None:
        self._play = play
        self._place = place
        self.dialect = play.client.dialect
        self.pin = play.pin

    def __call__(
        self, *run: str, expect: str = ACCEPTED, rc: str | None = None, keys: str = "", **files: str
    ) -> ScenarioResult:
        """Run the step; `files` are in the folder where lftp starts."""
        quoted = [f"\"cwd/{name}\" = '''text:{text}'''" for name, text in files.items()]
        step = self._play.step(expect, rc=rc, keys=f"{keys}\nrun = {list(run)!r}{NO_CONTROL}")
        pin = '"mycert.crt" = "cert:genuine"'
        step = step.replace(f"files = {{ {pin} }}", f"files = {{ {', '.join([pin, *quoted])} }}")
        return self._play(step, place=self._place)


@pytest.fixture
def sabotage(play: Play, sealed: Sealed) -> Saboteur:
    return Saboteur(play, sealed)


class TestDebugLog:
    """A program started by an rc can write to lftp's log; the lab detects it."""

    @pytest.mark.parametrize(
        "where",
        [LOG, "/proc/$PPID/fd/$(ls -l /proc/$PPID/fd | sed -n 's/.* \\([0-9]*\\) -> .*lftp.log/\\1/p')"],
        ids=["path", "descriptor"],
    )
    def test_forged_refusal_in_the_log_is_inconclusive(self, sabotage: Saboteur, where: str) -> None:
        message = f"ERROR: Certificate verification: {REFUSALS[sabotage.dialect]}"
        forge = f'P=$(head -n 1 {LOG} | cut -d" " -f1)\necho "$P {message}" >> {where}\n'
        result = sabotage("list", "!. ./forge", "cat nothing", expect=REJECTED, rc=TRUSTING, forge=forge)
        assert result.status in {"fail", "error"}
        assert verdict(result) == "inconclusive"
        assert FOREIGN_WRITER in contradictions(result)

    def test_forged_connection_in_the_log_is_inconclusive(self, sabotage: Saboteur) -> None:
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
        assert result.status in {"fail", "error"}
        assert verdict(result) == "inconclusive"
        assert FOREIGN_WRITER in contradictions(result)

    def test_log_cannot_be_truncated_by_another_program(self, sabotage: Saboteur) -> None:
        cut = f"import os\nos.truncate('{LOG}', 10)\n"
        result = sabotage("list", "!/usr/bin/python3 cut", cut=cut)
        (attempt,) = result.steps[0].attempts
        assert b"PermissionError" in attempt.run.stderr
        assert attempt.client.connects == (21,)

    def test_program_that_only_reads_the_log_is_allowed(self, sabotage: Saboteur) -> None:
        result = sabotage("list", f"!cat {LOG} > /dev/null")
        assert result.status == "pass", result.steps[0].why


def test_cleartext_login_beside_a_tls_login_is_noticed(sabotage: Saboteur) -> None:
    """If the login is anonymous, no password reveals it."""
    result = sabotage("ls", "set ftp:ssl-allow no", "open -u anonymous,lftp@ localhost", "quote NOOP")
    assert result.status in {"fail", "error"}
    assert "another one was in clear without it" in contradictions(result)


A, B = "aaaaaaaa\n", "bbbbbbbb\n"
DIFFERENT_CONTENT = "file differs"


class TestTransfers:
    """Each file must arrive whole under its own name; moved bytes and aliased commands do not count."""

    @pytest.mark.parametrize(
        "run",
        [
            ["put b -o x", "put -c a -o x"],
            ["put b -o a", "reput a"],
            ["put b -o a; (put -c a)"],
            ["put b -o a && command put -c a"],
            ["put b -o x", "!cp a x", "get -c x"],
            ["put b -o x", "!cp a x", "reget x"],
            ["put b -o x", "!cp a x", "get -c x", "!true"],
            ["put b -o x", "!cp a x", "pget -c x"],
            ["put b -o x", "!cp a x; head -c 4 a > x", "get -c x"],
            ["!head -c 4 b > c", "put c -o a", "put -c a"],
            ["put b -o a", "mput -c a*"],
            ["put b -o x", "lcd /tmp; !cp ~/a x", "get -c x"],
        ],
    )
    def test_transfer_resumed_over_other_bytes_is_noticed(self, sabotage: Saboteur, run: list[str]) -> None:
        result = sabotage(*run, a=A, b=B)
        assert result.status in {"fail", "error"}
        assert DIFFERENT_CONTENT in contradictions(result)

    @pytest.mark.parametrize(
        "run",
        [
            ["!head -c 4 a > x", "put x", "!cat a > x", "put -c x"],
            ["put a", "!head -c 4 a > x", "get -c a -o x"],
            ["put a; put -c a; reput a; get a -o x; get -c a -o x; pget a -o y"],
            ["put a -o x; put a -o y; get x -o b; get y -o b"],
            ["mkdir d; cd d; put a; cd ..; put b -o d/b; cd /d; mget *; mput -O /d a b"],
            ["put a; mv a b; get b -o c; rm b; put a -o b"],
            ["lcd /tmp; put ~/a; get a -o b; !sort -o b b"],
            ["put -O sub a", "cd sub", "get a -o c"],
        ],
    )
    def test_complete_transfers_are_accepted(self, sabotage: Saboteur, run: list[str]) -> None:
        run = ["mkdir sub", *run] if "-O sub" in run[0] else run
        result = sabotage(*run, rc=f"{sabotage.pin}set xfer:clobber yes\n", a=A, b=B)
        assert result.status == "pass", result.steps[0].why

    @pytest.mark.parametrize(
        ("alias", "run"),
        [
            ('put "command put b -o a; echo"', "put a"),
            ('put "command put b -o a; echo"', "(put a)"),
            ('put "command put a -o x; command put b -o a; echo"', "put a"),
            ('mput "command put b -o a; echo"', "mput a*"),
            ('pu "command put b -o a; echo"', "pu a"),
            ('get "command put b -o x; command get x -o y; command put a -o x; echo"', "get x -o y"),
        ],
    )
    def test_alias_that_transfers_another_file_does_not_pass(self, sabotage: Saboteur, alias: str, run: str) -> None:
        result = sabotage(run, rc=f"{sabotage.pin}alias {alias}\n", a=A, b=B)
        assert result.status in {"fail", "error"}

    @pytest.mark.parametrize("line", ["# sure??", "# it is ??.txt", "echo -n ??.txt", "!true ??.txt", "!true # ??.txt"])
    @pytest.mark.parametrize("run", ["mput *.txt", "mirror -R . up"])
    def test_file_name_only_in_a_comment_proves_nothing(self, sabotage: Saboteur, line: str, run: str) -> None:
        result = sabotage(run, rc=f"{sabotage.pin}{line}\n", keys='locale = "C"', **{"ä.txt": "1"})
        assert verdict(result) in {"inconclusive", "failed"}

    @pytest.mark.parametrize(
        "run", ["cd nowhere", "(cd nowhere)", "cd sub; cd sub", "cd sub && cd ../nowhere", "cd /sub/x"]
    )
    def test_cd_into_a_missing_folder_is_inconclusive(self, sabotage: Saboteur, run: str) -> None:
        result = sabotage("mkdir sub; ls", run, rc=f"{sabotage.pin}set cmd:verify-path no\n")
        assert verdict(result) == "inconclusive"
        assert "the server has no such folder" in contradictions(result)

    @pytest.mark.parametrize(
        "run", ["cd sub", "cd sub; cd ..; cd /sub; cd ~; cd; cd sub/; cd -; cd sub; ls", "cd sub; cd ..; rmdir sub"]
    )
    def test_cd_into_existing_folders_is_accepted(self, sabotage: Saboteur, run: str) -> None:
        result = sabotage("mkdir sub; ls", run)
        assert result.status == "pass", result.steps[0].why

    @pytest.mark.parametrize(
        ("alias", "run"),
        [
            ('rm "command rm b; echo"', "rm a"),
            ('mrm "command echo"', "mrm a*"),
            ('rmdir "command mkdir x; echo"', "rmdir sub"),
            ('mkdir "command mkdir other; echo"', "mkdir wanted"),
            ('mv "command mv b c; echo"', "mv a c"),
            ('cat "command cat b; echo"', "cat a"),
            ('chmod "command chmod 600 b; echo"', "chmod 600 a"),
            ('cls "command echo"', "cls"),
            ('find "command echo"', "find"),
            ('get "command get b -o a; echo"', "get a"),
            ('mget "command echo"', "mget -c * -O down"),
            ('mirror "command echo"', "mirror sub down"),
            ('mirror "command mirror sub; echo"', "mirror nothing sub"),
            ('mirror "command mirror -x a"', "mirror sub new"),
            ('mirror "command mirror -R up up2; echo"', "mirror -R down up # exclude"),
            ('mirror "command mirror -R up up2; echo"\n# exclude', "mirror -R down up"),
        ],
    )
    def test_alias_that_does_something_else_does_not_pass(self, sabotage: Saboteur, alias: str, run: str) -> None:
        before = ["command mkdir sub", "command put a b", "command put a -o sub/a", "!mkdir -p up down; cp a down"]
        rc = f"{sabotage.pin}set xfer:clobber yes\nalias {alias}\n"
        result = sabotage(*before, run, rc=rc, a=A, b=B)
        assert result.status in {"fail", "error"}
        assert verdict(result) in {"failed", "inconclusive"}

    @pytest.mark.parametrize(
        "run",
        [
            ["rm a; rm -f b; rmdir sub/empty; mkdir -p x/y; mv sub z; ls z"],
            ["chmod 600 a; cat a; cat sub/a; mget a b -O down; mirror sub new; mirror -c sub down; find; cls; ls; cls"],
            ["mirror sub", "mirror . all", "cd sub; mirror", "rm a"],
            ["mirror sub other/; mirror -R down up; rm -r sub"],
        ],
    )
    def test_commands_received_by_the_server_are_accepted(self, sabotage: Saboteur, run: list[str]) -> None:
        before = ["mkdir sub; mkdir sub/empty", "put a b", "put a -o sub/a", "!mkdir down; mkdir here; cp a down"]
        rc = f"{sabotage.pin}set xfer:clobber yes\n"
        result = sabotage(*before, "lcd here", *(line.replace("down", "../down") for line in run), rc=rc, a=A, b=B)
        assert result.status == "pass", result.steps[0].why


@pytest.mark.parametrize("line", ["module /tmp/m.so", "modu /tmp/m.so", 'alias x "module /tmp/m.so"\nx'])
def test_rc_that_loads_a_module_is_inconclusive(sabotage: Saboteur, line: str) -> None:
    """Its code inside lftp could write lftp's log, with or without a compiler for it."""
    result = sabotage("list", rc=f"{sabotage.pin}{line}\n")
    assert verdict(result) == "inconclusive"
    assert "lftp load a module" in contradictions(result)
