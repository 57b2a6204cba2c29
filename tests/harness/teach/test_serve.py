"""`ftps-lab serve`: its output can be typed, the steps follow each other, and nothing is left behind."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from cryptography import x509

from ftps_harness import cli
from ftps_harness.scenario import parse
from ftps_harness.scenario.template import scenario_template
from ftps_harness.teach.serve import Options, TeachingSession

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOGUE = Path(__file__).parents[3] / "scenarios"
SERVE = [sys.executable, "-m", "ftps_harness", "serve", "first"]


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the scenario of `new` (no pin, pinned, a stranger), and a TMPDIR that must be empty at the end."""
    (tmp_path / "scenarios/mine").mkdir(parents=True)
    (tmp_path / "scenarios/mine/first.scenario.toml").write_text(scenario_template("mine/first"))
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


class Session:
    """`ftps-lab serve` on a terminal; leaving the context ends it if the test has not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal >= 0:
            os.kill(self.pid, signal.SIGTERM)
            self.end()

    def __init__(self, *options: str, **environment: str) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(sys.executable, [*SERVE, *options], {**os.environ, **environment})  # noqa: S606
        self.shown = ""

    def until(self, text: str) -> str:
        """Everything shown up to a text, from the end of the last call."""
        while text not in self.shown:
            assert select.select([self._terminal], [], [], 20)[0], f"not shown: {text!r}, but {self.shown!r}"
            self.shown += os.read(self._terminal, 4096).decode().replace("\r\n", "\n")
        found, _, self.shown = self.shown.partition(text)
        return found

    def type(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._terminal, keys)

    def end(self) -> int:
        """The exit code, once the other side has closed the terminal."""
        try:
            while data := os.read(self._terminal, 4096):
                self.shown += data.decode()
        except OSError:
            pass
        os.close(self._terminal)
        self._terminal = -1
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def type_command(text: str) -> subprocess.CompletedProcess[str]:
    """Type what the learner types: the command after "In another terminal, type:"."""
    command = text.partition("In another terminal, type:\n")[2].partition("')\n\n")[0] + "')\n"  # the offer is prose
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)


def until_offer(session: Session, text: str) -> str:
    """Everything shown up to the end of the offer, which has this text."""
    found = session.until("Ctrl-C ends it.")
    assert text in " ".join(found.split())
    return found


@pytest.mark.lftp
def test_printed_commands_work_in_every_step() -> None:
    """Each does what its step says, and the server reports what it saw."""
    with Session() as session:
        text = until_offer(session, "Enter goes to step 2: pinned, the genuine server is trusted.")
        assert "First (mine/first)" in text
        fetch = next(line for line in text.splitlines() if line.startswith("openssl s_client"))
        shown = subprocess.run(["sh", "-c", fetch], capture_output=True, text=True, timeout=30, check=False).stdout
        certificates = re.findall(r"\S+/certificates/(\w+)\.pem", text)
        assert certificates == ["genuine", "stranger"]
        path = re.findall(r"\S+/certificates/genuine\.pem", text)[0]
        assert Path(path).read_text().strip() in shown

        done = type_command(text)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Certificate verification" in done.stderr

        session.type(b"\r")
        text = until_offer(session, "Enter goes to step 3: pinned, an impostor is refused.")
        assert "What the server saw:" in text
        assert "AUTH TLS" in text
        assert f'set ssl:ca-file "{Path(path).parent.parent}/home/.lftp/mycert.crt"' in text
        done = type_command(text)
        assert done.returncode == 0
        assert "file-" in done.stdout

        session.type(b"\r")
        text = until_offer(session, "Enter goes to step 4: TLS is stripped: nothing leaks.")
        assert "shows stranger, an impostor's" in " ".join(text.split())
        done = type_command(text)
        assert done.returncode == 1
        assert "Certificate verification" in done.stderr

        session.type(b"n")
        text = session.until("Ctrl-C ends it.")
        assert "an attacker denies TLS with 502" in " ".join(text.split())
        assert "Enter" not in text
        done = type_command(text)
        assert done.returncode == 1
        assert "ftp:ssl-force is set" in done.stderr

        session.type(b"\x03")
        assert session.end() == 0
        assert "Traceback" not in session.shown


ODD = """
schema = 1
title = "t"
why = "w"
[certificates.genuine]
[server]
certificate = "genuine"
user = "SITE\\\\me, \\"x\\""
[[step]]
title = "s"
password = "it's #1 $HOME 100%"
files = { "go" = "text:ls\\n" }
rc = \"\"\"
set ssl:verify-certificate no
# {user}
\"\"\"
run = ["source {lftp}/go"]
[step.expect]
verdict = "accepted"
"""


@pytest.mark.lftp
def test_special_characters_in_user_and_password_are_quoted(tmp_path: Path) -> None:
    """The printed command logs in; the placeholders in the rc are replaced."""
    (tmp_path / "scenarios/mine/first.scenario.toml").write_text(ODD)
    with Session() as session:
        text = session.until("Ctrl-C ends it.")
        assert '  user          SITE\\me, "x"' in text
        done = type_command(text)
        assert (done.returncode, done.stderr) == (0, "")
        assert "file-" in done.stdout
        session.type(b"\x03")
        assert session.end() == 0


@pytest.mark.lftp
def test_short_command_equals_the_printed_one_in_every_step() -> None:
    """The arrow key can then repeat it."""
    with Session() as session:
        text = until_offer(session, "Enter goes to step 2")
        (short,) = re.findall(r"^The same, shorter: (sh \S+)$", text, re.MULTILINE)
        done = subprocess.run(["sh", "-c", short], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", type_command(text).stderr)
        session.type(b"\r")
        assert short in until_offer(session, "Enter goes to step 3")
        done = subprocess.run(["sh", "-c", short], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0
        assert "file-" in done.stdout


def test_predict_hides_the_answer() -> None:
    with Session() as session:
        told = until_offer(session, "Enter goes to step 2")
        why = told.split("\n")[1]
    with Session("--predict") as session:
        asked = until_offer(session, "Enter goes to step 2")
    assert "expected:" in told
    assert "expected:" not in asked
    assert why not in asked
    assert "In another terminal, type:" in asked


@pytest.mark.lftp
def test_step_option_starts_at_that_step() -> None:
    """The files of earlier steps are in place; variables that would mislead lftp are removed."""
    with Session("--step", "3", LFTP_HOME="/nowhere") as session:
        text = session.until("Ctrl-C ends it.")
        assert "Step 3 of 4" in text
        assert "\nenv -u LFTP_HOME " in text
        assert "mycert.crt" in text
        assert "Certificate verification" in type_command(text).stderr
        session.type(b"\x04")  # Ctrl-D
        assert session.end() == 0


@pytest.mark.lftp
def test_events_are_printed_live() -> None:
    """An event is printed before any key is pressed."""
    with Session("--user", "alice", "--password", "sunflower7", "--step", "2") as session:
        text = session.until("Ctrl-C ends it.")
        assert type_command(text).returncode == 0
        seen = session.until("alice is logged in")
        assert "connected, from port" in seen
        assert "IN CLEAR: AUTH TLS -> 234" in seen
        assert "TLSv1.3" in seen
        assert "readable on the wire" not in seen
        session.type(b"r")
        assert "Rotated: the server shows a new certificate now" in session.until("SHA-256 ")
        assert "Certificate verification" in type_command(text).stderr
        session.type(b"p")
        assert "Step 1 of 4" in session.until("Ctrl-C ends it.")
        session.type(b"q")
        assert session.end() == 0


@pytest.mark.lftp
def test_captured_password_is_printed_live() -> None:
    with Session("--password", "sunflower7", "--step", "4") as session:
        text = session.until("Ctrl-C ends it.")
        careless = text.replace("set ftp:ssl-force yes", "set ftp:ssl-force no")
        home = re.findall(r"HOME=(\S+)", text)[0]
        rc = Path(home) / ".lftp/rc"
        rc.write_text(rc.read_text().replace("set ftp:ssl-force yes", ""))
        assert type_command(careless).returncode == 0
        seen = session.until("is logged in")
        assert "CAPTURED password sunflower7" in seen
        assert "readable on the wire: password sunflower7" in seen
        session.type(b"q")
        assert session.end() == 0


def test_words_from_a_pipe_control_the_steps() -> None:
    done = subprocess.run(
        SERVE, input="nonsense\nnext\nprevious\nquit\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"Step (\d) of 4", done.stdout) == ["1", "2", "1"]


def test_rotate_every_rotates_the_certificate() -> None:
    with subprocess.Popen(
        [*SERVE, "--rotate-every", "0.5"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        prints = [line.split()[-1] for line in _until(process.stdout, 2) if line.startswith("Rotated")]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert len(set(prints)) == 2


def test_rotated_certificate_has_new_serial_and_key_identifiers() -> None:
    scenario = parse(scenario_template("mine/first"), "first.scenario.toml", "mine/first")
    with TeachingSession(scenario, Options()) as session:
        before = session._session.spec.certificate
        session.rotate()
        after = session._session.spec.certificate
    assert before is not None
    assert after is not None
    old, new = (x509.load_der_x509_certificate(each.der) for each in (before, after))
    assert old.subject == new.subject
    assert old.serial_number != new.serial_number
    keys = [each.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value for each in (old, new)]
    assert keys[0] != keys[1]


def test_rotation_behind_an_interceptor_is_not_seen_by_clients() -> None:
    command = [
        sys.executable,
        "-m",
        "ftps_harness",
        "serve",
        str(CATALOGUE / "attack/intercept-copy.scenario.toml"),
        "--step",
        "2",
    ]
    done = subprocess.run(command, input="rotate\nquit\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "clients still meet the interceptor's" in done.stdout


def _until(lines: Iterator[str], rotations: int) -> Iterator[str]:
    for line in lines:
        yield line
        rotations -= line.startswith("Rotated")
        if rotations == 0:
            return


def test_short_password_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["serve", "first", "--password", "short"]) == 2
    assert "at least 6 characters" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_serve_with_exit_code_0(number: signal.Signals) -> None:
    with subprocess.Popen(
        SERVE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "Ctrl-C ends it." not in (line := process.stdout.readline()):
            assert line
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_port_in_use_exits_3_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.call(["serve", "first", "--port", str(port)]) == 3
    assert capsys.readouterr().err.startswith(
        f"ftps-lab: cannot listen on 127.0.0.1 port {port}: Address already in use"
    )
