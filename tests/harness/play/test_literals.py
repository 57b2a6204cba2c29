"""Literal commands: each command of a line must succeed, and each needs proof."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, verdict

from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions.evidence import ClientAction, Evidence
from ftps_harness.play.actions.scripts import expanded
from ftps_harness.play.actions.tasks import client_actions, files_below
from ftps_harness.sandbox.secrets import Secrets
from ftps_lab.testimony import Command, Credential, Testimony, Transfer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.conftest import Play

LISTING = Transfer(2, 1, "MLSD", "", "download", 9, "", "tls", "AA", completed=True)


@dataclass
class Case:
    """The evidence after a run, which these tests change."""

    folder: Path
    secrets: Secrets
    testimony: Testimony
    marks: frozenset[str] = frozenset()
    complaint: bool = False
    left: bool = False

    @property
    def evidence(self) -> Evidence:
        downloads = self.folder / "downloads"
        return Evidence(
            stdout=b"",
            complaint=self.complaint,
            downloads=downloads,
            written=tuple(files_below(downloads)),
            root=self.folder,
            testimony=self.testimony,
            marks=self.marks,
            left=self.left,
        )

    def client_actions(self, *items: str) -> list[ClientAction]:
        return client_actions(items, self.secrets, self.folder / "downloads", self.folder, self.folder / "marks")

    def done(self, action: ClientAction) -> bool:
        return action.proof(self.evidence).done


@pytest.fixture
def case(tmp_path: Path) -> Case:
    (tmp_path / "downloads").mkdir()
    let_in = Credential(1, "user", "password", "tls", accepted=True)
    heard = tuple(Command(1, verb, "x", "tls", 226) for verb in ("STOR", "RETR"))
    testimony = Testimony("genuine", commands=heard, credentials=(let_in,), transfers=(LISTING,))
    return Case(tmp_path, Secrets.new(), testimony)


@pytest.mark.parametrize(
    ("command", "done"),
    [
        ("put x", True),
        ("mput x*", True),
        ("get x", True),
        ("rm x", False),
        ("mkdir x", False),
        ("mv x y", False),
        ("put -c x", True),
        ("get ftp://other.example/x", True),
        ("ls", True),
    ],
)
def test_command_is_done_only_if_the_server_received_it(case: Case, command: str, done: bool) -> None:
    """An alias could have changed the command."""
    (action,) = case.client_actions(command)
    case.marks = frozenset(marks(action))
    assert case.done(action) is done


def marks(action: ClientAction) -> list[str]:
    """The marks that lftp writes if all its commands succeed."""
    return re.findall(r"&& command echo (\S+) >> ", action.command())


def test_each_command_of_a_line_writes_its_own_mark(case: Case) -> None:
    """lftp's exit code is only the last command's."""
    (action,) = case.client_actions("put x; ls")
    assert re.sub(r"[0-9a-f]{20}", "MARK", action.command()).replace(str(case.folder), "F") == (
        'put x\n&& command echo MARK-0 >> "F/marks"\nls\n&& command echo MARK-1 >> "F/marks"'
    )
    for missing in marks(action):
        case.marks = frozenset(marks(action)) - {missing}
        assert not case.done(action)
    case.marks = frozenset(marks(action))
    assert case.done(action)
    assert not case.done(*case.client_actions("put x; ls"))  # these marks belong to another run


def test_literal_command_is_not_done_if_lftp_complains(case: Case) -> None:
    """A ``put`` whose data channel was refused exits with success, and only the debug log shows it."""
    (action,) = case.client_actions("put x")
    case.marks, case.complaint = frozenset(marks(action)), True
    assert not case.done(action)


def test_literal_command_needs_a_login_and_complete_transfers(case: Case) -> None:
    (action,) = case.client_actions("cls")
    case.marks = frozenset(marks(action))
    assert case.done(action)
    honest = case.testimony
    case.testimony = replace(honest, transfers=(replace(LISTING, completed=False),))
    assert not case.done(action)
    case.testimony = replace(honest, credentials=(), transfers=())
    assert not case.done(action)


def test_file_downloaded_by_a_literal_command_must_be_identical(case: Case) -> None:
    (action,) = case.client_actions("mget *")
    case.marks = frozenset(marks(action))
    for folder in (case.folder / "downloads", case.folder / "downloads" / "below"):
        folder.mkdir(exist_ok=True)
        path = folder / case.secrets.file_name
        path.write_bytes(case.secrets.content)
        assert case.done(action)
        path.write_bytes(case.secrets.content[1:])
        assert action.proof(case.evidence).client is False
        path.unlink()


def test_only_the_last_command_may_end_lftp(case: Case) -> None:
    """A script that ends in ``bye`` does this; commands after it would never run."""
    first, last = case.client_actions("source a", "source b")
    case.left, case.marks = True, frozenset(marks(first))
    assert case.done(first)
    assert case.done(last)
    case.left = False
    assert not case.done(last)
    case.left, case.marks = True, frozenset()
    assert not case.done(first)
    (line,) = case.client_actions("source a; ls")
    case.marks = frozenset()
    assert not case.done(line)


@pytest.mark.parametrize(
    ("command", "sent", "done"),
    [
        ("quote RETR nothing", [("RETR", "nothing", 425)], False),
        ("quote STOR", [("STOR", "", 425)], False),
        ("quot noop", [("NOOP", "", 500)], False),
        ("site chmod 600 x", [("SITE", "CHMOD 600 x", 550)], False),
        ("quote NOOP", [("NOOP", "", 200)], True),
        ("source quotes", [("STOR", "x", 550)], False),
        ("put x", [("STOR", "x", 450), ("STOR", "x", 226)], True),
        ("mirror x", [("SIZE", "x", 550), ("MLSD", "", 500)], True),
    ],
)
def test_command_refused_by_the_server_is_not_done(
    case: Case, command: str, sent: list[tuple[str, str, int]], *, done: bool
) -> None:
    """`quote` and `site` succeed whatever the reply."""
    (action,) = case.client_actions(command)
    case.marks = frozenset(marks(action))
    commands = tuple(Command(1, verb, argument, "tls", reply) for verb, argument, reply in sent)
    case.testimony = replace(case.testimony, commands=commands)
    assert case.done(action) is done


FAILING = [
    "put missing; ls",
    "lcd /nonexist; mirror -R . b",
    "mput /nonexist/*.sql; ls",
    "lss; ls",
    "mirror -R /not/mounted nightly; ls",
    "mirror -R /not/mounted nightly",
    "shell false; ls",
    "ls > /nonexist/x; ls",
    "quote RETR nothing; ls",
    "quote STOR; ls",
    "source ~/.lftp/none; ls",
    "set ssl:verify-certificate perhaps; ls",
    "get -Z; ls",
    "(put missing); ls",
    "mirror -R -f missing; ls",
    "mirror -Rf missing; ls",
    "mirror -R --directory=missing; ls",
    "mirror -f missing; ls",
    "mirror -F missing; ls",
    "mmv *.none folder; ls",
]


@pytest.mark.parametrize("command", FAILING)
def test_line_with_a_failing_command_has_failed(play: Play, command: str) -> None:
    step = play.step('verdict = "failed"', keys=f"run = ['{command}']{NO_CONTROL}")
    result = play(step)
    assert verdict(result) == "failed", result.steps[0].why
    assert result.status == "pass"


SUCCEEDING = [
    "ls; pwd",
    "ls; # a remark",
    "ls | cat; (cls; pwd) && nlist",
    "lcd ~/.lftp; put mycert.crt; !test -e mycert.crt",
    "set cmd:verbose yes; lcd .; cd .; ls",
    "mirror -R .lftp up",
    "MIRROR -R .lftp up; mirr -R .lftp up; LS",
    "mirror -R .lftp new; mv new current",
    "mirror -R .lftp new; rm -r new; rm -rf new; ls",
    "mirror -R -f .lftp/mycert.crt; mirror -Rf .lftp/mycert.crt; mirror -f mycert.crt; ls",
    "mkdir up; mirror -R -F .lftp -O up; mirror -F up; ls",
]


@pytest.mark.parametrize("command", SUCCEEDING)
def test_line_of_succeeding_commands_is_done(play: Play, command: str) -> None:
    result = play(play.step(ACCEPTED, keys=f"run = ['{command}']"))
    assert result.status == "pass", result.steps[0].why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ls\n", "accepted"),
        ("ls\nbye\n", "accepted"),
        ("miror -R . nightly\nls\n", "failed"),
        ("miror -R . nightly\nls\nbye\n", "failed"),
        ("put missing\nexit 0\n", "failed"),
        ("put missing &\nls\n", "failed"),
        ("quote DELE nothing\nls\n", "failed"),
        ("(sleep 0.2; put missing) &\nls\n", "failed"),
        ("queue sleep 0.2\nqueue put missing\nls\n", "failed"),
        ("queue put missing\nls\n", "failed"),
        ("ls\nshell false\nbye\n", "failed"),
        ("open -p 1 ftp://nobody.example/folder\nls\n", "unreachable"),
        ("alias put echo\nput ~/.lftp/mycert.crt\nls\n", "failed"),
        ("ls\nbye\nput ~/.lftp/mycert.crt\n", "failed"),
        ("put ~/.lftp/mycert.crt &\nkill all\nls\n", "inconclusive"),
        ("mirror -R -f missing\nls\n", "failed"),
        ("!cp .lftp/s .lftp/t; echo mkdir x >.lftp/t\nalias mkdir echo\nsource .lftp/t && ls\n", "failed"),
        ("lcd .lftp\nput \\\n mycert.crt\n# put missing \\\nput s || put missing\nls\n", "accepted"),
    ],
)
def test_script_is_judged_by_each_of_its_lines(play: Play, text: str, expected: str) -> None:
    passing = "failed" if expected == "inconclusive" else expected
    step = play.step(f'verdict = "{passing}"', keys='run = ["source ~/.lftp/s"]' + NO_CONTROL)
    files = f"files = {{ \"mycert.crt\" = \"cert:genuine\", s = '''text:{text}''' }}"
    result = play(step.replace('files = { "mycert.crt" = "cert:genuine" }', files))
    assert verdict(result) == expected, result.steps[0].why


def test_script_that_sources_itself_is_read_once(case: Case) -> None:
    """lftp would hang, so its time limit gives the verdict."""
    script = case.folder / "s"
    script.write_bytes(b"put a\r\nput \\\n b\n# c \\\nsource s\n\0put d\n")
    evidence = replace(case.evidence, cwd=case.folder)
    read = expanded(syntax.commands("source s; lcd x; source s"), evidence)
    assert [each.text for each in read] == ["put a", "put  b", "source s", "lcd x", "source s"]


@pytest.mark.parametrize("command", ["MIRROR -R .lftp up", "command mirror -R .lftp up && ls", "(mirror -R .lftp up)"])
def test_upload_that_an_alias_replaced_has_failed(play: Play, command: str) -> None:
    """Written as people write it: upper case, in a group, joined to another command."""
    rc = play.pin + 'alias MIRROR "mkdir up"\nalias mirror "mkdir up"\n'
    step = play.step('verdict = "failed"', rc=rc, keys=f"run = ['{command}']{NO_CONTROL}")
    result = play(step)
    assert verdict(result) == ("accepted" if command.startswith("command") else "failed"), result.steps[0].why


@pytest.mark.parametrize(
    ("command", "alias"),
    [
        ("eval put .lftp/s; ls", "eval echo"),
        ("source .lftp/s", "queue echo"),
        ("at now -- put .lftp/s; wait all; ls", "put echo"),
        ("quote PWD; ls", "quote echo"),
        ("site chmod 600 x; ls", "site echo"),
        ("find; ls", "find echo"),
        ("mkdir d; cd d; ls", "cd lpwd"),
        ("put .lftp/s -o ftp://{user}:{password}@{host}:{port}/x; ls", "put echo"),
    ],
)
def test_command_that_an_alias_replaced_is_inconclusive(play: Play, command: str, alias: str) -> None:
    """Not every command leaves evidence on the server."""
    step = play.step('verdict = "failed"', rc=f"{play.pin}alias {alias}\n", keys=f"run = ['{command}']{NO_CONTROL}")
    files = r'files = { "mycert.crt" = "cert:genuine", s = "text:queue put .lftp/s\nls\n" }'
    result = play(step.replace('files = { "mycert.crt" = "cert:genuine" }', files))
    assert verdict(result) == "inconclusive", result.steps[0].why


@pytest.mark.parametrize(
    "alias", ['put "put -c"', "ls cls", "dir ls", 'reconnect "close; ls"', "put reput", "get pget"]
)
def test_alias_for_the_same_kind_of_command_is_fine(play: Play, alias: str) -> None:
    keys = f"run = ['put .lftp/mycert.crt; ls']{NO_CONTROL}"
    result = play(play.step(ACCEPTED, rc=f"{play.pin}alias {alias}\n", keys=keys))
    assert result.status == "pass", result.steps[0].why


def test_mistake_in_the_rc_does_not_fail_the_commands(play: Play) -> None:
    """A typing error in the rc is noted, and the requests are still carried out."""
    result = play(play.step(ACCEPTED, rc=play.pin + "sett x y\n", keys='run = ["ls"]'))
    assert result.status == "pass", result.steps[0].why
    (attempt,) = result.steps[0].attempts
    assert attempt.client.notes == ("Unknown command `sett'.",)
    assert b"begin-" not in attempt.run.stderr


@pytest.mark.parametrize("rc", ["set cmd:fail-exit yes\n", "set cmd:at-exit 'echo x'\n", "alias echo pwd\n"])
def test_marks_work_with_any_rc(play: Play, rc: str) -> None:
    for command, expected in (("ls", "accepted"), ("shell false", "failed")):
        step = play.step(f'verdict = "{expected}"', rc=play.pin + rc, keys=f'run = ["ls", "{command}"]{NO_CONTROL}')
        result = play(step)
        assert verdict(result) == expected, result.steps[0].why


def test_unknown_text_is_inconclusive(play: Play) -> None:
    """Unless another kind of program may have printed it."""
    rc = play.pin + 'alias speak "!echo something >&2"\n'
    result = play(play.step(ACCEPTED, rc=rc, keys='run = ["speak", "ls"]'))
    assert verdict(result) == "inconclusive"
    result = play(play.step(ACCEPTED, keys='run = ["!echo something >&2", "ls"]'))
    assert result.status == "pass", result.steps[0].why
