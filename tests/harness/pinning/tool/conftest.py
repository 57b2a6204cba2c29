"""Fixtures for the tests of `ftps-lab pin`: a server on loopback, a HOME, the command, and lftp itself."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ftps_harness import cli
from ftps_harness.play.session import Session
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_lab.certificates import Certificate

State = dict[str, tuple[int, int, bytes]]


def own(**fields: object) -> Certificate:
    """A self-signed certificate for `localhost`."""
    values = {"common_name": "localhost", "names": ("localhost",), **fields}
    return issue({"own": CertificateSpec(**values)})["own"]  # type: ignore[arg-type]  # a record's fields by name


@dataclass
class CommandResult:
    """Result of one call of the command."""

    code: int
    out: str
    err: str


@dataclass
class User:
    """A user with a HOME, and the server that this user pins.

    Attributes:
        home: HOME.
        session: Session in which the server runs.
    """

    home: Path
    session: Session
    client: Lftp
    capsys: pytest.CaptureFixture[str] = field(repr=False)

    def serve(self, certificate: Certificate | None = None, **fields: object) -> Certificate:
        """Have the server show a certificate from now on, on the same port if possible."""
        shown = certificate or own()
        values: dict[str, object] = {"certificate": shown, "chain": shown.chain, **fields}
        self.session.serve(ServerSpec(**values), host="localhost")  # type: ignore[arg-type]  # as above
        return shown

    @property
    def port(self) -> int:
        """The server's port."""
        return self.session.server.port

    @property
    def rc(self) -> Path:
        """The usual rc."""
        return self.home / ".lftp/rc"

    @property
    def pins(self) -> Path:
        """The file of pins beside it."""
        return self.home / ".lftp/ftps-lab-pins.crt"

    def write(self, text: str | bytes, name: str = ".lftp/rc") -> Path:
        """A file below HOME."""
        path = self.home / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def pin(self, *options: str, host: str = "localhost") -> CommandResult:
        """`ftps-lab pin localhost:PORT`, with options."""
        return self.call(f"{host}:{self.port}", *options)

    def call(self, *arguments: str) -> CommandResult:
        """`ftps-lab pin`."""
        self.capsys.readouterr()
        code = cli.call(["pin", "--lftp", str(self.client.path), *arguments])
        said = self.capsys.readouterr()
        return CommandResult(code, said.out, said.err)

    def state(self) -> State:
        """Every file and folder in HOME: mode, modification time, content."""
        found = {}
        for path in sorted(self.home.rglob("*")):
            status = path.lstat()
            data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.home))] = (status.st_mode, status.st_mtime_ns, data)
        return found

    def logs_in(self, host: str = "localhost") -> bool:
        """Whether lftp lists the server's folder, with a password."""
        secrets = self.session.secrets
        command = (
            "set net:max-retries 1; set net:timeout 5; set dns:order inet; "
            f"open -u {secrets.user},{secrets.password} -p {self.port} {host}; cls"
        )
        finished = subprocess.run(
            [self.client.path, "-c", command],
            env={"HOME": str(self.home), "PATH": os.environ["PATH"]},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
        return finished.returncode == 0 and bool(finished.stdout)


@pytest.fixture
def user(
    client: Lftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[User]:
    """A user with an empty HOME, and a server that shows a self-signed certificate."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    for name in ("LFTP_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ftp_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Session(None, client) as session:
        made = User(home, session, client, capsys)
        made.serve()
        yield made
