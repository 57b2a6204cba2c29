"""Users and passwords: which logins succeed, and that lftp gets every character by each route."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from tests.harness.play.sabotage import ACCEPTED, LOGIN_FAILED, ONLY_LIST, verdict

from ftps_harness.client.lftp.settings import quoted
from ftps_harness.play.login import Login, is_right, right_password
from ftps_harness.sandbox.secrets import Secrets
from ftps_harness.scenario import parse
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.scenario import Step

BACKSLASH = "\\"
UNUSUAL = [
    "two words",
    " blanks around ",
    "#1 'single' \"double\" `back`",
    "$HOME ${HOME} $(id) %41 ~ ! & | ; * ? <x>",
    "DOMAIN\\user",
    "me@shop.example:21/x,y",
    "größer €",
    "-u",
    "--password",
    "\\",
    '"',
    "a\tb\x01\x7f",
    "anonymous ",
]


def toml(text: str) -> str:
    """A string in TOML syntax."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in plain) + '"'


def play_one(play: Play, expect: str, keys: str, *, server: str = "") -> ScenarioResult:
    return play(play.step(expect, keys=keys + ONLY_LIST), server=server)


def logins_of(result: ScenarioResult) -> list[tuple[str, str | None]]:
    return [(c.user, c.password) for c in result.steps[0].attempts[0].testimony.credentials]


@pytest.mark.parametrize("text", UNUSUAL)
def test_unusual_user_and_password_reach_the_server(play: Play, text: str) -> None:
    """The server's own comparison and its testimony both have every character."""
    result = play_one(play, ACCEPTED, f"user = {toml(text)}\npassword = {toml(text)}\n")
    assert (result.status, logins_of(result)) == ("pass", [(text, text)])


# Which logins succeed.


@pytest.mark.parametrize(
    ("server", "keys", "succeeds"),
    [
        ("", "", True),
        ("", 'user = "me"\n', True),
        ("", 'password = "mine"\n', True),
        ('password = "right"\n', "", True),
        ('password = "right"\n', 'password = "right"\n', True),
        ('password = "right"\n', 'password = "wrong"\n', False),
        ('user = "me"\n', "", True),
        ('user = "me"\n', 'user = "me"\n', True),
        ('user = "me"\n', 'user = "you"\n', False),
        ('user = "me"\npassword = "right"\n', 'user = "me"\npassword = "right"\n', True),
        ('user = "me"\npassword = "right"\n', 'user = "me"\npassword = "wrong"\n', False),
    ],
)
def test_login_succeeds_with_declared_user_and_password(play: Play, server: str, keys: str, succeeds: bool) -> None:
    assert verdict(play_one(play, ACCEPTED, keys, server=server)) == ("accepted" if succeeds else "login-failed")


@pytest.mark.parametrize(
    ("server", "keys"),
    [
        ("", 'password = "wrong"\n'),
        ('password = "right"\n', 'password = "wrong"\n'),
        ('user = "me"\n', 'user = "you"\n'),
        ('user = "me"\npassword = "right"\n', 'user = "you"\npassword = "wrong"\n'),
    ],
)
def test_wrong_login_fails_and_its_control_logs_in(play: Play, server: str, keys: str) -> None:
    result = play_one(play, LOGIN_FAILED, keys, server=server)
    assert result.status == "pass", result.steps[0].why
    control = result.steps[0].control
    assert control is not None
    assert (control.kind, control.attempt.outcome.verdict) == ("right-password", "accepted")


def test_expected_login_failure_with_right_password_fails(play: Play) -> None:
    """User and password are already right."""
    result = play_one(play, LOGIN_FAILED, 'password = "right"\n', server='password = "right"\n')
    assert result.status == "fail"


def test_right_password_is_that_of_each_step(play: Play) -> None:
    """A password is right for the step that gives it, and for no later step."""
    keys = ['password = "one"\n', 'password = "two"\n', "", 'password = "one"\n']
    expects = [ACCEPTED, ACCEPTED, ACCEPTED, LOGIN_FAILED]
    steps = [
        play.step(expect, keys=key + ONLY_LIST, title=str(number))
        for number, (key, expect) in enumerate(zip(keys, expects, strict=True))
    ]
    result = play(*steps)
    assert [step.status for step in result.steps] == ["pass"] * 4


FILE = """
schema = 1
title = "t"
why = "w"
[certificates.genuine]
[server]
certificate = "genuine"
{server}
[[step]]
title = "s"
{keys}
[step.expect]
verdict = "accepted"
"""


def step(server: str = "", keys: str = "") -> Step:
    (parsed,) = parse(FILE.format(server=server, keys=keys), "x.scenario.toml", "a/x").steps
    return parsed


def test_right_password_of_a_step() -> None:
    assert right_password(step(), "accepted") is None
    assert right_password(step(keys='password = "p"'), "accepted") == "p"
    assert right_password(step(keys='password = "p"'), "exposed") == "p"
    assert right_password(step(keys='password = "p"'), "login-failed") is None
    assert right_password(step('password = "s"', 'password = "p"'), "accepted") == "s"
    assert right_password(step('password = "s"', 'password = "p"'), "login-failed") == "s"


def test_is_right_compares_step_and_server() -> None:
    assert is_right(step())
    assert is_right(step(keys='user = "u"'))
    assert is_right(step('user = "u"\npassword = "s"', 'user = "u"\npassword = "s"'))
    assert is_right(step('user = "u"', 'user = "anonymous"'))
    assert not is_right(step(keys='password = "p"'))
    assert not is_right(step('user = "u"', 'user = "v"'))
    assert not is_right(step('password = "s"', 'password = "p"'))


def test_login_is_the_steps_or_the_servers_or_the_runs() -> None:
    secrets = Secrets.new()
    assert Login.of(ServerSpec(), secrets) == Login(secrets.user, secrets.password)
    assert Login.of(ServerSpec(user="u", password="p"), secrets) == Login("u", "p")
    assert Login.of(ServerSpec(user="u", password="p"), secrets, "v", "q") == Login("v", "q")


# Credentials from elsewhere. The scenario's own `open` runs first, and these replace its login.

PASSWORD = 'it\'s "#1" @home/$x \\ü,:%41'
IN_URL = quote(PASSWORD, safe="")
ROUTES = {
    "URL": (f"open ftp://DOM%5Cme:{IN_URL}@localhost:{{port}}; ls", {}),
    "open -u": (f"open -u {quoted(f'DOM{BACKSLASH}me,{PASSWORD}')} -p {{port}} localhost; ls", {}),
    "open --password": (
        f"open --user {quoted(f'DOM{BACKSLASH}me')} --password {quoted(PASSWORD)} -p {{port}} localhost; ls",
        {},
    ),
    "user": (f"open -p {{port}} localhost; user {quoted(f'DOM{BACKSLASH}me')} {quoted(PASSWORD)}; ls", {}),
    "bookmark": ("open far; ls", {"bookmarks": f"far\tftp://DOM%5Cme:{IN_URL}@localhost:{{port}}/\n"}),
    "script": ("source ~/.lftp/go", {"go": f"open ftp://DOM%5Cme:{IN_URL}@localhost:{{port}}\nls\n"}),
}
TEMPLATE_ROUTES = {
    "URL": ("open ftp://{user}:{password}@{host}:{port}; ls", {}),
    "open -u": ("open -u {user},{password} -p {port} {host}; ls", {}),
    "LFTP_PASSWORD": ("open --user {user} --env-password -p {port} {host}; ls", {}),
    "alias": ("go; ls", {}),
    ".netrc": (
        "open -p {port} ftp://{user}@{host}; ls",
        {"cwd/.netrc": "machine {host} login {user} password {password}\n"},
    ),
    "bookmark": ("open far; ls", {"bookmarks": "far\tftp://{user}:{password}@{host}:{port}/\n"}),
}
ALIAS = 'alias go "open -u {user},{password} -p {port} {host}"\n'


def login_by_route(play: Play, run: str, files: dict[str, str], keys: str, server: str = "") -> ScenarioResult:
    """A step that logs in by a route other than the lab's own."""
    texts = ", ".join(f"{toml(name)} = {toml('text:' + text)}" for name, text in files.items())
    pin = '"mycert.crt" = "cert:genuine"'
    written = play.step(ACCEPTED, rc=play.pin + ALIAS, keys=f"{keys}run = [{toml(run)}]\n")
    return play(written.replace(pin, f"{pin}{', ' if texts else ''}{texts}"), server=server)


@pytest.mark.parametrize(("run", "files"), ROUTES.values(), ids=ROUTES)
def test_unusual_login_reaches_the_server_by_every_route(play: Play, run: str, files: dict[str, str]) -> None:
    """The lab's own `open` would log in anonymously, so the credentials can only come by that route."""
    server = f"user = {toml(f'DOM{BACKSLASH}me')}\npassword = {toml(PASSWORD)}\n"
    result = login_by_route(play, run, files, 'user = "anonymous"\n', server)
    assert result.status == "pass", result.steps[0].why
    assert set(logins_of(result)) == {(f"DOM{BACKSLASH}me", PASSWORD)}


@pytest.mark.parametrize("keys", ["", 'user = "me"\npassword = "mine-123"\n'], ids=["the run's", "the step's"])
@pytest.mark.parametrize(("run", "files"), TEMPLATE_ROUTES.values(), ids=TEMPLATE_ROUTES)
def test_placeholders_have_user_and_password_everywhere(play: Play, run: str, files: dict[str, str], keys: str) -> None:
    """In the rc, in files and in commands, and in the control, which has its own HOME."""
    result = login_by_route(play, run, files, keys)
    assert result.status == "pass", result.steps[0].why
    assert len(set(logins_of(result))) == 1


def test_right_password_of_a_control_is_in_its_files(play: Play) -> None:
    """The .netrc has a wrong password in the step and the right one in the control; the step's HOME keeps its own."""
    run, files = TEMPLATE_ROUTES[".netrc"]
    texts = ", ".join(f"{toml(name)} = {toml('text:' + text)}" for name, text in files.items())
    pin = '"mycert.crt" = "cert:genuine"'
    first = play.step(LOGIN_FAILED, keys=f'password = "wrong-one"\nrun = [{toml(run)}]\n', title="wrong")
    again = play.step(LOGIN_FAILED, keys='password = "wrong-two"\nrun = ["list"]\n', title="again")
    result = play(first.replace(pin, f"{pin}, {texts}"), again)
    assert result.status == "pass", [step.why for step in result.steps]
    assert {password for _, password in logins_of(result)} == {"wrong-one"}


# A server that demands TLS.


@pytest.mark.parametrize("keys", ["", 'user = "me"\npassword = "mine"\nserver = { password = "mine" }\n'])
def test_login_refused_without_tls_has_the_control_tls_allowed(play: Play, keys: str) -> None:
    off = play.pin + "set ftp:ssl-allow no\nset ftp:ssl-allow/localhost no\n"
    result = play(play.step(LOGIN_FAILED, rc=off, keys=keys + ONLY_LIST), server="require_tls = true\n")
    assert result.status == "pass", result.steps[0].why
    control = result.steps[0].control
    assert control is not None
    assert (control.kind, control.attempt.outcome.verdict) == ("tls-allowed", "accepted")


def test_anonymous_login_refused_without_tls_has_a_control(play: Play) -> None:
    result = play(play.step(LOGIN_FAILED, keys='user = "anonymous"\n' + ONLY_LIST), server="require_tls = true\n")
    assert result.status == "pass", result.steps[0].why


def test_login_refused_with_tls_too_fails_its_control(play: Play) -> None:
    """`set` in the commands runs after the control's, so missing TLS was not the cause."""
    keys = 'run = ["set ftp:ssl-allow no; ls"]\n'
    result = play(play.step(LOGIN_FAILED, keys=keys), server="require_tls = true\n")
    assert result.status == "fail"
    assert "control tls-allowed" in result.steps[0].why[0]
