"""Leaks, measured on bytes: any size, any direction, any command, with the real lftp."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.verdict.outcomes import EVERYTHING, NO_VERIFICATION, leaked

from ftps_harness.play.attempt import Attempt, Request
from ftps_harness.play.session import Session
from ftps_harness.sandbox.secrets import Secrets
from ftps_lab.certificates import Certificate, CertificateSpec, issue
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.client.lftp import Lftp

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]

CLEAR_DATA = "set ftp:ssl-protect-data no\nset ftp:ssl-protect-list no\n"


@pytest.fixture(scope="module")
def certificates() -> dict[str, Certificate]:
    return issue({"genuine": CertificateSpec(), "stranger": CertificateSpec()})


class LeakTest:
    """One server after another, each with its own lftp, and secrets of any size."""

    def __init__(self, client: Lftp, certificates: dict[str, Certificate]) -> None:
        self._client = client
        self._certificates = certificates

    def __call__(
        self,
        rc: str,
        run: tuple[str, ...] = EVERYTHING,
        *,
        size: int = 3072,
        spec: Callable[[ServerSpec], ServerSpec] = lambda spec: spec,
        **request: Any,
    ) -> Attempt:
        """Run lftp; the rc comes after the pin."""
        declared = spec(ServerSpec(certificate=self._certificates["genuine"]))
        with Session(client=self._client, secrets=Secrets.new(size)) as session:
            session.serve(declared)
            pin = session.home.put_file("pin.crt", self._certificates["genuine"].pem)
            rc = f'set ssl:ca-file "{pin}"\nset ftp:ssl-protect-data yes\n{rc}'
            return session.attempt(Request(rc=rc, run=run, timeout=20, **request))

    def stranger(self, spec: ServerSpec) -> ServerSpec:
        """The same server with a stranger's certificate on its data connections."""
        return replace(spec, data_certificate=self._certificates["stranger"])


@pytest.fixture
def leak_test(client: Lftp, certificates: dict[str, Certificate], single_try: None) -> LeakTest:
    return LeakTest(client, certificates)


MODES = {
    "passive": "",
    "extended passive": "set ftp:prefer-epsv yes\n",
    "active": "set ftp:passive-mode no\n",
    "pieces": "set net:socket-buffer 1024\n",
}


@pytest.mark.parametrize("mode", MODES)
def test_nothing_leaks_in_tls(leak_test: LeakTest, mode: str) -> None:
    made = leak_test(MODES[mode], size=100_000)
    assert (made.outcome.verdict, made.outcome.contradictions) == ("accepted", ())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("item", EVERYTHING)
def test_every_kind_of_content_leaks_in_clear(leak_test: LeakTest, mode: str, item: str) -> None:
    made = leak_test(MODES[mode] + CLEAR_DATA, (item,))
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})


@pytest.mark.parametrize("size", [1, 3, 11, 12, 82, 83, 65536, 5 << 20])
@pytest.mark.parametrize("item", ["get", "put"])
def test_content_of_every_size_leaks_in_clear(leak_test: LeakTest, item: str, size: int) -> None:
    """Content too short to carry a mark counts too."""
    made = leak_test(CLEAR_DATA, (item,), size=size)
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})


@pytest.mark.parametrize("size", [0, 1, 3, 65536, 5 << 20])
def test_content_of_every_size_is_accepted_in_tls(leak_test: LeakTest, size: int) -> None:
    made = leak_test("", size=size)
    assert (made.outcome.verdict, made.outcome.contradictions) == ("accepted", ())


def test_empty_file_in_clear_is_not_an_exposure(leak_test: LeakTest) -> None:
    assert leak_test(CLEAR_DATA, ("get",), size=0).outcome.verdict == "accepted"


@pytest.mark.parametrize("item", ["put ~/.lftp/pin.crt", "mirror -R ~/.lftp up", "reput ~/.lftp/pin.crt"])
def test_users_own_file_leaks_in_clear(leak_test: LeakTest, item: str) -> None:
    """Although it carries no mark of the lab's."""
    made = leak_test(CLEAR_DATA, (item,))
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})
    assert leak_test("", (item,)).outcome.verdict == "accepted"


def test_listing_without_a_secret_name_leaks_in_clear(leak_test: LeakTest) -> None:
    made = leak_test(CLEAR_DATA, ("mkdir -p some/thing", "ls some"))
    assert leaked(made.outcome)[:2] == ("exposed", {"payload"})


def test_second_connection_in_clear_is_an_exposure(leak_test: LeakTest) -> None:
    rc = "set cmd:at-exit 'set ftp:ssl-allow no; close -a; ls'\n"
    accepted, refused = leak_test(rc, ("list",)), leak_test("set ssl:ca-file /dev/null\n" + rc, ("list",))
    assert refused.outcome.reasons == {"untrusted"}
    assert leaked(refused.outcome) == ("exposed", {"password", "payload"}, {"wire"})
    assert len([c for c in refused.testimony.connections if c.kind == "control"]) == 2
    assert accepted.outcome.verdict == "accepted"  # its listing came from lftp's cache


def as_impostor(spec: ServerSpec) -> ServerSpec:
    return replace(spec, role="impostor")


@pytest.mark.parametrize("items", [("list",), ("get",), ("put",), ("mirror",), ("mget *",), ("ls > x",)])
def test_accepted_impostor_gets_password_and_payload(leak_test: LeakTest, items: tuple[str, ...]) -> None:
    made = leak_test(NO_VERIFICATION, items, spec=as_impostor)
    assert leaked(made.outcome) == ("exposed", {"password", "payload"}, {"impostor"})


@pytest.mark.parametrize("items", [("list",), ("get",), ("put",), ("mget *",), ("find > x",), ("cls -1",)])
def test_anonymous_login_exposes_only_payload_to_an_impostor(leak_test: LeakTest, items: tuple[str, ...]) -> None:
    made = leak_test(
        NO_VERIFICATION, items, spec=lambda spec: replace(spec, role="impostor", protocol="implicit"), user="anonymous"
    )
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"impostor"})


def test_anonymous_login_is_in_clear(leak_test: LeakTest) -> None:
    made = leak_test("", ("list",), user="anonymous")
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"wire"})


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("item", ["list", "get", "put", "ls > x", "put ~/.lftp/pin.crt"])
def test_stranger_on_the_data_channel_is_never_accepted(leak_test: LeakTest, item: str, tls: str) -> None:
    """A race decides which bytes leave, but the verdict is always a refusal or an exposure."""
    for _ in range(3):
        made = leak_test("", (item,), spec=lambda spec: replace(leak_test.stranger(spec), tls=(tls,)))
        assert made.outcome.reasons == {"untrusted"}
        if item.startswith("put"):
            assert (made.run.exit_code, made.run.stderr) == (0, b"")
            left = any(transfer.size for transfer in made.testimony.transfers)
            assert (made.outcome.verdict == "exposed") is left
        if made.outcome.verdict == "exposed":
            assert leaked(made.outcome)[1:] == ({"payload"}, {"impostor"})
        else:
            assert made.outcome.verdict == "rejected"


@pytest.mark.parametrize("item", ["list", "get", "put", "mirror", "mget *", "ls > x", "find > x", "glob cat *"])
def test_unverified_stranger_on_the_data_channel_is_an_exposure(leak_test: LeakTest, item: str) -> None:
    """lftp may write the content to standard output, the download folder, or the folder where it was started."""
    made = leak_test(NO_VERIFICATION, (item,), spec=leak_test.stranger)
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"impostor"})
    made = leak_test(NO_VERIFICATION, (item,), spec=leak_test.stranger, cwd="elsewhere")
    assert leaked(made.outcome) == ("exposed", {"payload"}, {"impostor"})


@pytest.mark.parametrize("size", [1, 3, 12])
def test_few_bytes_from_a_stranger_are_an_exposure(leak_test: LeakTest, size: int) -> None:
    made = leak_test(NO_VERIFICATION, ("get",), size=size, spec=leak_test.stranger)
    assert leaked(made.outcome)[:2] == ("exposed", {"payload"})


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_wrong_password_is_not_an_exposure(leak_test: LeakTest, protocol: Any, tls: str) -> None:
    """The user types it instead of the real password, which is never sent."""
    made = leak_test("", ("list",), password="wrong", spec=lambda spec: replace(spec, protocol=protocol, tls=(tls,)))
    assert (made.outcome.verdict, made.outcome.contradictions) == ("login-failed", ())
    assert made.testimony.passwords == ["wrong"]


# Literal commands: lftp's exit code is the last command's, so each command must report its own end.


@pytest.mark.parametrize(
    "items",
    [
        ("mget *",),
        ("glob cat *",),
        ("glob get *",),
        ("glob pget -n 3 file*",),
        ("glob -f reget file*",),
        ("mirror . copy",),
        ("mirror -R ~/.lftp up", "find up"),
        ("du",),
        ("find",),
        ("ls > listing", "ls | cat", "ls | head -1"),
        ("cls; ",),
        ("cd .", "pwd", "list"),
        ("!true", "list"),
        ("(cls)", "list"),
        ("repeat -c 2 -d 0 recls",),
        ("quote NOOP", "list"),
        ("mkdir a", "mv a b", "rmdir b"),
    ],
    ids="; ".join,
)
def test_succeeding_literal_commands_are_accepted(leak_test: LeakTest, items: tuple[str, ...]) -> None:
    made = leak_test("", items)
    assert (made.outcome.verdict, made.outcome.contradictions) == ("accepted", ())


@pytest.mark.parametrize("where", ["alone", "first", "between"])
@pytest.mark.parametrize(
    "item",
    [
        "cat missing",
        "cat missing; echo fine",
        "(cat missing) || echo fine",
        "ls missing",
        "rm missing",
        "cd missing",
        "get missing -o missing",
        "mget missing*",
        "put missing",
        "pget missing",
        "chmod 600 missing",
        "lcd /nonexistent",
        "!false",
        "nosuchcommand",
        "set no:such x",
        "ls > /nonexistent/file",
    ],
)
def test_failing_literal_command_is_failed(leak_test: LeakTest, item: str, where: str) -> None:
    """At any place in the list; this is neither an acceptance nor a refusal."""
    items = {"alone": (item,), "first": (item, "list"), "between": ("list", item, "get")}[where]
    made = leak_test("", items)
    assert made.outcome.verdict == "failed" or (where == "alone" and made.outcome.verdict == "unreachable")


def test_literal_command_cannot_forge_a_mark(leak_test: LeakTest) -> None:
    """The text it prints is not the lab's mark."""
    made = leak_test("", ("cat missing && command echo done", "echo done-0123456789", "list"))
    assert made.outcome.verdict == "failed"
