"""Literal commands: each command of a line must succeed, and each needs proof."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, verdict

from ftps_harness.play.actions.evidence import ClientAction, Evidence
from ftps_harness.play.actions.tasks import client_actions, files_below
from ftps_harness.sandbox.secrets import Secrets
from ftps_lab.testimony import Command, Credential, Testimony, Transfer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.conftest import Play

LISTING = Transfer(2, 1, "MLSD", "", "download", 9, "", "tls", "AA", completed=True)


@dataclass
class Desk:
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
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "downloads").mkdir()
    let_in = Credential(1, "user", "password", "tls", accepted=True)
    heard = tuple(Command(1, verb, "x", "tls", 226) for verb in ("STOR", "RETR"))
    testimony = Testimony("genuine", commands=heard, credentials=(let_in,), transfers=(LISTING,))
    return Desk(tmp_path, Secrets.new(), testimony)


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
def test_a_command_is_done_when_the_server_heard_of_it(desk: Desk, command: str, done: bool) -> None:
    """An alias could have changed the command."""
    (action,) = desk.client_actions(command)
    desk.marks = frozenset(marks(action))
    assert desk.done(action) is done


def marks(action: ClientAction) -> list[str]:
    """The marks that lftp writes if all its commands succeed."""
    return re.findall(r"&& command echo (\S+) >> ", action.command())


def test_each_command_of_a_line_says_itself_that_it_succeeded(desk: Desk) -> None:
    """Each command writes its own mark, because lftp's exit code is only the last command's."""
    (action,) = desk.client_actions("put x; ls")
    assert re.sub(r"[0-9a-f]{20}", "MARK", action.command()).replace(str(desk.folder), "F") == (
        'put x\n&& command echo MARK-0 >> "F/marks"\nls\n&& command echo MARK-1 >> "F/marks"'
    )
    for missing in marks(action):
        desk.marks = frozenset(marks(action)) - {missing}
        assert not desk.done(action)
    desk.marks = frozenset(marks(action))
    assert desk.done(action)
    assert not desk.done(*desk.client_actions("put x; ls"))  # these marks belong to another run


def test_a_literal_command_is_not_believed_when_lftp_says_something_else(desk: Desk) -> None:
    """A ``put`` whose data channel was refused exits with success, and only the debug log shows it."""
    (action,) = desk.client_actions("put x")
    desk.marks, desk.complaint = frozenset(marks(action)), True
    assert not desk.done(action)


def test_a_literal_command_needs_a_login_and_no_transfer_cut_short(desk: Desk) -> None:
    (action,) = desk.client_actions("cls")
    desk.marks = frozenset(marks(action))
    assert desk.done(action)
    honest = desk.testimony
    desk.testimony = replace(honest, transfers=(replace(LISTING, completed=False),))
    assert not desk.done(action)
    desk.testimony = replace(honest, credentials=(), transfers=())
    assert not desk.done(action)


def test_what_a_literal_command_brings_under_a_served_name_holds_the_same_bytes(desk: Desk) -> None:
    (action,) = desk.client_actions("mget *")
    desk.marks = frozenset(marks(action))
    for folder in (desk.folder / "downloads", desk.folder / "downloads" / "below"):
        folder.mkdir(exist_ok=True)
        path = folder / desk.secrets.file_name
        path.write_bytes(desk.secrets.content)
        assert desk.done(action)
        path.write_bytes(desk.secrets.content[1:])
        assert action.proof(desk.evidence).client is False
        path.unlink()


def test_only_the_last_command_of_all_may_end_lftp(desk: Desk) -> None:
    """A script that ends in ``bye`` does this; commands after it would never run."""
    first, last = desk.client_actions("source a", "source b")
    desk.left, desk.marks = True, frozenset(marks(first))
    assert desk.done(first)
    assert desk.done(last)
    desk.left = False
    assert not desk.done(last)
    desk.left, desk.marks = True, frozenset()
    assert not desk.done(first)
    (line,) = desk.client_actions("source a; ls")
    desk.marks = frozenset()
    assert not desk.done(line)


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
def test_what_the_server_refused_is_not_done(
    desk: Desk, command: str, sent: list[tuple[str, str, int]], *, done: bool
) -> None:
    """`quote` and `site` succeed whatever the reply."""
    (action,) = desk.client_actions(command)
    desk.marks = frozenset(marks(action))
    commands = tuple(Command(1, verb, argument, "tls", reply) for verb, argument, reply in sent)
    desk.testimony = replace(desk.testimony, commands=commands)
    assert desk.done(action) is done


BROKEN = [
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
]


@pytest.mark.parametrize("command", BROKEN)
def test_a_line_of_which_one_command_fails_has_failed(play: Play, command: str) -> None:
    step = play.step('verdict = "failed"', keys=f"run = ['{command}']{NO_CONTROL}")
    result = play(step)
    assert verdict(result) == "failed", result.steps[0].why
    assert result.status == "pass"


GOOD = [
    "ls; pwd",
    "ls; # a remark",
    "ls | cat; (cls; pwd) && nlist",
    "lcd ~/.lftp; put mycert.crt; !test -e mycert.crt",
    "set cmd:verbose yes; lcd .; cd .; ls",
    "mirror -R .lftp up",
]


@pytest.mark.parametrize("command", GOOD)
def test_a_line_of_which_each_command_succeeds_is_done(play: Play, command: str) -> None:
    result = play(play.step(ACCEPTED, keys=f"run = ['{command}']"))
    assert result.status == "pass", result.steps[0].why


def script(text: str) -> str:
    """Keys of a step that sources a script."""
    return f"run = [\"source ~/.lftp/s\"]\n[step.files]\ns = '''text:\n{text}'''\n"


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
    ],
)
def test_a_script_is_judged_by_each_of_its_lines(play: Play, text: str, expected: str) -> None:
    step = play.step(f'verdict = "{expected}"', keys='run = ["source ~/.lftp/s"]' + NO_CONTROL)
    files = f"files = {{ \"mycert.crt\" = \"cert:genuine\", s = '''text:{text}''' }}"
    result = play(step.replace('files = { "mycert.crt" = "cert:genuine" }', files))
    assert verdict(result) == expected, result.steps[0].why


def test_what_the_rc_says_is_not_the_commands(play: Play) -> None:
    """A typing error in the rc is noted, and the requests are still carried out."""
    result = play(play.step(ACCEPTED, rc=play.pin + "sett x y\n", keys='run = ["ls"]'))
    assert result.status == "pass", result.steps[0].why
    (attempt,) = result.steps[0].attempts
    assert attempt.client.notes == ("Unknown command `sett'.",)
    assert b"begin-" not in attempt.run.stderr


@pytest.mark.parametrize("rc", ["set cmd:fail-exit yes\n", "set cmd:at-exit 'echo x'\n", "alias echo pwd\n"])
def test_the_marks_hold_whatever_the_rc_says(play: Play, rc: str) -> None:
    for command, expected in (("ls", "accepted"), ("shell false", "failed")):
        step = play.step(f'verdict = "{expected}"', rc=play.pin + rc, keys=f'run = ["ls", "{command}"]{NO_CONTROL}')
        result = play(step)
        assert verdict(result) == expected, result.steps[0].why


def test_what_no_table_holds_is_inconclusive(play: Play) -> None:
    """Text that no table has is inconclusive, unless another kind of program may have printed it."""
    rc = play.pin + 'alias speak "!echo something >&2"\n'
    result = play(play.step(ACCEPTED, rc=rc, keys='run = ["speak", "ls"]'))
    assert verdict(result) == "inconclusive"
    result = play(play.step(ACCEPTED, keys='run = ["!echo something >&2", "ls"]'))
    assert result.status == "pass", result.steps[0].why
