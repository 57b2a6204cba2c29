"""`ftps-lab serve`: what it prints can be typed, the steps follow each other, and nothing is left behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from ftps_harness import cli
from ftps_harness.scenario.template import scenario_template

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVE = [sys.executable, "-m", "ftps_harness", "serve", "first"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the scenario `new` writes (no pin, pinned, a stranger), and an own TMPDIR: empty at the end."""
    (tmp_path / "scenarios/mine").mkdir(parents=True)
    (tmp_path / "scenarios/mine/first.scenario.toml").write_text(scenario_template("mine/first"))
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


class Session:
    """`ftps-lab serve` on a terminal; leaving the context ends it where the test has not."""

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
        """All that is shown up to a text, from where the last call ended."""
        while text not in self.shown:
            self.shown += os.read(self._terminal, 4096).decode().replace("\r\n", "\n")
        found, _, self.shown = self.shown.partition(text)
        return found

    def type(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._terminal, keys)

    def end(self) -> int:
        """The exit code, when the other side has closed the terminal."""
        try:
            while data := os.read(self._terminal, 4096):
                self.shown += data.decode()
        except OSError:
            pass
        os.close(self._terminal)
        self._terminal = -1
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def typed(text: str) -> subprocess.CompletedProcess[str]:
    """What the learner types: all that stands behind "In another terminal, type:"."""
    command = text.partition("In another terminal, type:\n")[2]
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.lftp
def test_a_learner_goes_through_the_steps() -> None:
    """Every command that is printed does what the step says, and the server tells what it saw."""
    with Session() as session:
        text = session.until("Enter goes on to step 2: pinned, the genuine server is trusted. Ctrl-C ends it.")
        assert "First (mine/first)" in text
        fetch = next(line for line in text.splitlines() if line.startswith("openssl s_client"))
        shown = subprocess.run(["sh", "-c", fetch], capture_output=True, text=True, timeout=30, check=False).stdout
        certificates = re.findall(r"\S+/certificates/(\w+)\.pem", text)
        assert certificates == ["genuine", "stranger"]
        path = re.findall(r"\S+/certificates/genuine\.pem", text)[0]
        assert Path(path).read_text().strip() in shown

        done = typed(text)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Certificate verification" in done.stderr

        session.type(b"\r")
        text = session.until("Enter goes on to step 3: pinned, a stranger is refused. Ctrl-C ends it.")
        assert "What the server saw:" in text
        assert "AUTH TLS" in text
        assert f'set ssl:ca-file "{Path(path).parent.parent}/home/.lftp/mycert.crt"' in text
        done = typed(text)
        assert done.returncode == 0
        assert "file-" in done.stdout

        session.type(b"\r")
        text = session.until("Enter goes on to step 4: TLS is denied: nothing gets out. Ctrl-C ends it.")
        assert "shows stranger, an impostor's" in " ".join(text.split())
        done = typed(text)
        assert done.returncode == 1
        assert "Certificate verification" in done.stderr

        session.type(b"\r")
        text = session.until("Ctrl-C ends it.")
        assert "somebody denies with 502 that it has TLS" in " ".join(text.split())
        assert "Enter" not in text
        done = typed(text)
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
def test_an_odd_user_and_password_can_be_typed_as_they_are_printed(tmp_path: Path) -> None:
    """The step's password is the right one, and placeholders are replaced in what is typed."""
    (tmp_path / "scenarios/mine/first.scenario.toml").write_text(ODD)
    with Session() as session:
        text = session.until("Ctrl-C ends it.")
        assert '  user          SITE\\me, "x"' in text
        done = typed(text)
        assert (done.returncode, done.stderr) == (0, "")
        assert "file-" in done.stdout
        session.type(b"\x03")
        assert session.end() == 0


@pytest.mark.lftp
def test_it_begins_with_any_step() -> None:
    """What the steps before put in place is there; variables that would mislead lftp are taken out."""
    with Session("--step", "3", LFTP_HOME="/nowhere") as session:
        text = session.until("Ctrl-C ends it.")
        assert "Step 3 of 4" in text
        assert "\nenv -u LFTP_HOME " in text
        assert "mycert.crt" in text
        assert "Certificate verification" in typed(text).stderr
        session.type(b"\x04")  # Ctrl-D
        assert session.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_where_there_is_no_terminal(number: signal.Signals) -> None:
    with subprocess.Popen(
        SERVE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "Ctrl-C ends it." not in (line := process.stdout.readline()):
            assert line
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_a_port_in_use_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.call(["serve", "first", "--port", str(port)]) == 3
    assert capsys.readouterr().err.startswith(
        f"ftps-lab: cannot listen on 127.0.0.1 port {port}: Address already in use"
    )
