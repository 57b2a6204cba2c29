"""A session from Python, without a scenario or pytest's fixtures, keeps the promises of its docstring."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.play import session as sessions
from ftps_harness.play.attempt import Request
from ftps_harness.play.program import Command
from ftps_harness.play.session import Session
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.play.program import Observed
    from ftps_lab.certificates import Certificate

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]

HOST = "ftp.example.org"


@pytest.fixture(scope="module")
def leaves() -> dict[str, Certificate]:
    return issue({"genuine": CertificateSpec(names=(HOST,)), "other": CertificateSpec(names=(HOST,))})


@pytest.fixture
def genuine(leaves: dict[str, Certificate]) -> ServerSpec:
    return ServerSpec(certificate=leaves["genuine"])


@pytest.fixture
def impostor(leaves: dict[str, Certificate]) -> ServerSpec:
    return ServerSpec(certificate=leaves["other"], role="impostor")


@pytest.fixture
def session(sealed: Sealed, client: Lftp, genuine: ServerSpec) -> Iterator[Session]:
    """A session under a real name, on port 21."""
    with Session(sealed, client) as session:
        session.serve(genuine, host=HOST)
        yield session


def lftp(session: Session, *commands: str) -> Observed:
    """Run lftp with everything on its command line, as a user's script does."""
    assert session.client is not None
    return session.observe(Command(argv=(str(session.client.path), "-c", "\n".join(commands)), host=HOST))


def unverified_commands(session: Session) -> tuple[str, ...]:
    login = session.login()
    return "set ssl:verify-certificate no", f"open -u {login.user},{login.password} {HOST}", "ls"


@pytest.mark.usefixtures("sealed_here")
def test_docstring_example_prints_what_it_says() -> None:
    example = re.search(r"```python\n(.*?)```", ast.get_docstring(ast.parse(_source_of_the_module())) or "", re.DOTALL)
    assert example is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(textwrap.dedent(example[1]), {})  # noqa: S102 - our own documentation
    assert printed.getvalue().splitlines() == [
        "accepted",
        "rejected",
        "[('password', 'impostor'), ('payload', 'impostor')]",
    ]


def _source_of_the_module() -> str:
    assert sessions.__file__ is not None
    with open(sessions.__file__, encoding="utf-8") as file:  # noqa: PTH123 - one line
        return file.read()


class TestObserve:
    def test_login_to_the_genuine_server_exposes_nothing(self, session: Session) -> None:
        done = lftp(session, *unverified_commands(session))
        assert (done.run.exit_code, done.exposures, done.contradictions) == (0, frozenset(), ())
        assert done.testimony.passwords == [session.secrets.password]
        assert done.holds_payload
        assert session.secrets.listed_name.encode() in done.run.stdout

    def test_login_to_an_impostor_exposes_password_and_payload(self, session: Session, impostor: ServerSpec) -> None:
        session.change(impostor)
        done = lftp(session, *unverified_commands(session))
        assert done.exposures == {("password", "impostor"), ("payload", "impostor")}
        assert done.contradictions == ()

    def test_refused_certificate_exposes_nothing(self, session: Session) -> None:
        """The server saw no login."""
        done = lftp(session, *unverified_commands(session)[1:])
        assert b"Certificate verification" in done.run.stderr
        assert (done.exposures, done.testimony.passwords) == (frozenset(), [])

    def test_cleartext_login_exposes_password_and_payload(self, session: Session) -> None:
        done = lftp(session, "set ftp:ssl-allow no", *unverified_commands(session))
        assert done.exposures == {("password", "wire"), ("payload", "wire")}

    def test_login_elsewhere_is_recorded(self, session: Session) -> None:
        done = lftp(session, "set net:max-retries 1", "open -u me,some-password ftp://198.51.100.9", "ls")
        assert done.exposure.elsewhere.tried

    def test_any_program_can_run(self, session: Session) -> None:
        """Here a shell that starts lftp in a folder of its own."""
        script = f"pwd; cd; echo pinned > .lftp/mark; exec {session.client.path if session.client else ''} --version"
        done = session.observe(Command(argv=("/bin/sh", "-c", script), cwd="elsewhere"))
        assert done.run.stdout.startswith(b"/")
        assert b"LFTP | Version" in done.run.stdout
        assert (session.home.dot_lftp / "mark").read_text() == "pinned\n"
        assert (done.exposures, done.contradictions) == (frozenset(), ())

    def test_time_limit_ends_a_program(self, session: Session) -> None:
        done = session.observe(Command(argv=("/bin/sleep", "30"), timeout=0.3))
        assert done.run.timed_out


class TestHome:
    def test_fill_copies_a_folder(self, session: Session, leaves: dict[str, Certificate], tmp_path: Path) -> None:
        """With a user's ~/.lftp, subfolders, modes and links; the original does not change."""
        (tmp_path / ".lftp/pins").mkdir(parents=True)
        (tmp_path / ".lftp/pins/server.crt").write_bytes(leaves["genuine"].pem)
        (tmp_path / ".lftp/rc").write_text("set ssl:ca-file ~/.lftp/pin.crt\n")
        (tmp_path / ".lftp/pin.crt").symlink_to("pins/server.crt")
        (tmp_path / ".netrc").touch(mode=0o600)
        session.home.put_file("other", b"gone")
        session.home.fill(tmp_path)
        assert not (session.home.dot_lftp / "other").exists()
        assert (session.home.dot_lftp / "pin.crt").is_symlink()
        assert (session.home.home / ".netrc").stat().st_mode & 0o777 == 0o600
        assert session.attempt(Request(rc=None, host=HOST)).outcome.verdict == "accepted"
        assert (tmp_path / ".lftp/rc").read_text() == "set ssl:ca-file ~/.lftp/pin.crt\n"

    def test_fill_from_a_folder_without_an_rc_leaves_none(self, session: Session, tmp_path: Path) -> None:
        session.home.fill(tmp_path)
        assert list(session.home.dot_lftp.iterdir()) == []

    def test_fill_from_a_missing_folder_is_an_error(self, session: Session, tmp_path: Path) -> None:
        with pytest.raises((HarnessError, LabError), match="nowhere"):
            session.home.fill(tmp_path / "nowhere")


class TestServer:
    def test_changed_restores_the_spec_and_keeps_the_port(
        self, session: Session, impostor: ServerSpec, genuine: ServerSpec
    ) -> None:
        port = session.server.port
        with session.changed(impostor):
            assert session.spec is impostor
            assert lftp(session, *unverified_commands(session)).exposures
        assert session.spec is genuine
        assert not lftp(session, *unverified_commands(session)).exposures
        assert session.server.port == port

    def test_another_port_starts_another_server(self, session: Session, genuine: ServerSpec) -> None:
        before = session.server
        session.serve(genuine, host=HOST, port=2121)
        assert (session.server.port, session.server is before) == (2121, False)
        assert session.attempt(Request(rc="set ssl:verify-certificate no\n", host=HOST)).outcome.verdict == "accepted"

    def test_implicit_ftps_uses_port_990(self, sealed: Sealed, client: Lftp, genuine: ServerSpec) -> None:
        with Session(sealed, client) as session:
            session.serve(replace(genuine, protocol="implicit"), host=HOST)
            assert session.server.port == 990
            done = session.attempt(Request(rc="set ssl:verify-certificate no\n", host=HOST))
            assert done.outcome.verdict == "accepted"

    def test_fetch_requires_the_declared_certificate(self, session: Session, impostor: ServerSpec) -> None:
        assert impostor.certificate is not None
        session.server.change(impostor)  # without the session's knowledge
        with pytest.raises(HarnessError, match="something else answers"):
            session.fetch()
        session.change(impostor)
        assert session.fetch().strip() == impostor.certificate.pem.strip()


class TestIncompleteSession:
    def test_session_without_a_server_is_an_error(self) -> None:
        with Session() as session, pytest.raises(HarnessError, match="start one with `serve`"):
            session.attempt(Request(rc=None))

    def test_session_without_lftp_is_an_error(self, genuine: ServerSpec) -> None:
        with Session() as session:
            session.serve(genuine)
            with pytest.raises(HarnessError, match="no lftp to run"):
                session.attempt(Request(rc=None))

    def test_home_is_made_on_first_use(self, genuine: ServerSpec) -> None:
        with Session() as session:
            session.serve(genuine)
            assert "home" not in vars(session)

    def test_discarded_listing_of_an_accepted_impostor_is_an_exposure(self, client: Lftp, impostor: ServerSpec) -> None:
        with Session(client=client) as session:
            session.serve(impostor)
            settings = "set ssl:verify-certificate no; set ftp:ssl-allow-anonymous yes; set ftp:ssl-force yes"
            script = f"{settings}; open -p {session.server.port} localhost; ls > /dev/null"
            done = session.observe(Command(argv=(str(client.path), "-c", script)))
        assert done.exposures == {("payload", "impostor")}
