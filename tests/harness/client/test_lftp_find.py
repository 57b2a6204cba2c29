"""Which lftp is used, and its properties: version, TLS library and dialect, as the binary itself reports them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.client.lftp import binary
from ftps_harness.client.lftp.binary import ENVIRONMENT_VARIABLE, find, identify
from ftps_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    import socket

    from ftps_harness.client.lftp import Lftp


def program(folder: Path, text: str, name: str = "lftp") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No lftp is named, and PATH is an empty folder."""
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_given_path_wins_over_variable_over_path(
    empty_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = program(empty_path, "#!/bin/sh\n")
    assert find() == on_path
    named = program(tmp_path, "#!/bin/sh\n", "named")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(named))
    assert find() == named
    given = program(tmp_path, "#!/bin/sh\n", "given")
    assert find(str(given)) == given


def test_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = program(tmp_path, "#!/bin/sh\n")
    monkeypatch.chdir(tmp_path)
    assert find("./lftp") == given
    assert find("lftp") == given


def test_tilde_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = program(tmp_path, "#!/bin/sh\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("~/lftp") == given


def test_missing_lftp_is_an_error_that_says_how_to_install_it(empty_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"no lftp on PATH.*apt install lftp.*--lftp"):
        find()


@pytest.mark.parametrize("where", ["--lftp", ENVIRONMENT_VARIABLE])
@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("missing", "no such file"),
        ("folder", "a folder; name"),
        ("text", "not executable"),
        ("dangling", "no such file"),
    ],
)
def test_unusable_path_is_a_usage_error_that_names_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, what: str, sentence: str
) -> None:
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("no program")
        path.chmod(stat.S_IRUSR)
    elif what == "dangling":
        path.symlink_to(tmp_path / "gone")
    if where == ENVIRONMENT_VARIABLE:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(UsageError, match=sentence) as raised:
        find(str(path) if where == "--lftp" else None)
    assert where in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("#!/bin/sh\necho curl 8.5.0\n", r"not lftp: its answer to --version begins with 'curl 8\.5\.0'"),
        ("#!/bin/sh\nexit 3\n", r"not lftp: its answer to --version begins with 'nothing \(exit code 3\)'"),
        ("#!/nonexistent/interpreter\n", "not lftp: cannot start"),
        ("no program at all", "not lftp"),
        ("#!/bin/sh\necho 'LFTP | Version 4.9.2 | Copyright'\n", r"built without TLS"),
        ("#!/bin/sh\nprintf 'LFTP | Vers\\377ion'\n", "not lftp"),
    ],
)
def test_program_that_is_not_lftp_is_a_usage_error(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        identify(program(tmp_path, text))


def test_program_that_does_not_answer_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_PROBE_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(UsageError, match="did not answer --version"):
        identify(program(tmp_path, "#!/bin/sh\nsleep 60\n"))
    assert time.monotonic() - started < 40  # it would have slept for 60 seconds


@pytest.mark.lftp
@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(limit, marks=() if limit in (16, 24, 34) else pytest.mark.long)  # about 0.4 s each
        for limit in range(16, 36, 2)
    ],
)
def test_limit_of_open_files_is_never_blamed_on_lftp_or_the_loopback(client: Lftp, limit: int) -> None:
    script = (
        "import resource, sys; from ftps_harness.cli import main; from ftps_harness.client import lftp; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); "
        "sys.argv[1:] = ['run', 'document/untrusted-by-default', '--short']; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "FTPS_LAB_LFTP": str(client.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "is not lftp" not in done.stderr
    assert "bring the loopback up" not in done.stderr
    if done.returncode != 0:
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr


def test_program_that_is_not_lftp_is_given_no_commands(tmp_path: Path) -> None:
    path = program(tmp_path, f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    with pytest.raises(UsageError):
        identify(path)
    assert (tmp_path / "calls").read_text() == "--version\n"


FAKE = """#!/bin/sh
case "$*" in
--version) echo 'LFTP | Version 9.9.9 | Copyright'; echo; echo 'Libraries used: {library}' ;;
-c\\ set\\ -a) echo 'set ssl:ca-file ""'; {path} ;;
*) for word in $*; do case "$word" in */log/*) echo '{log}' > "$word" ;; esac; done ;;
esac
"""


@pytest.mark.parametrize(
    ("library", "path", "log", "tls", "dialect"),
    [
        ("GnuTLS 3.7.1, idn2", ":", "**** gnutls_handshake: broken", "GnuTLS 3.7.1", "classic"),
        ("GnuTLS 3.8.9", ":", "Loaded 0 CRLs", "GnuTLS 3.8.9", "status"),
        ("Expat 2.5.0, GnuTLS 3.7.9, Readline 8.2,\n zlib 1", ":", "Loaded 142 CAs", "GnuTLS 3.7.9", "status"),
        ("idn2 2.3.3", "echo 'set ssl:ca-path \"\"'", "", "OpenSSL", "openssl"),
        ("OpenSSL 3.0.22, idn2 2.3.3", "echo 'set ssl:ca-path \"\"'", "", "OpenSSL 3.0.22", "openssl"),
        ("OpenSSL 1.1.1w", "echo 'set ssl:ca-path \"\"'", "", "OpenSSL 1.1.1w", "openssl"),
    ],
)
def test_version_library_and_dialect_are_read(
    tmp_path: Path, library: str, path: str, log: str, tls: str, dialect: str
) -> None:
    fake = program(tmp_path, FAKE.format(library=library, path=path, log=log))
    found = identify(fake)
    assert (found.path, found.version, found.tls, found.dialect) == (fake, "9.9.9", tls, dialect)


def test_unknown_dialect_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="cannot determine the dialect"):
        identify(program(tmp_path, FAKE.format(library="GnuTLS 4.0", path=":", log="---- Connecting")))


def test_identify_leaves_no_files_and_no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = threading.active_count()
    with pytest.raises(UsageError):
        identify(program(tmp_path, "#!/bin/sh\n"))
    identify(program(tmp_path, FAKE.format(library="GnuTLS 3", path=":", log="Loaded 1 CAs")))
    assert not list(temporary.iterdir())
    assert threading.active_count() == before


def builds() -> list[str | None]:
    named = os.environ.get("FTPS_LAB_LFTP_BUILDS", "")
    return [path for path in named.split(os.pathsep) if path] or [None]


KNOWN = {
    "lftp-4.8.4-bullseye": ("4.8.4", "GnuTLS 3.7.1", "classic"),
    "lftp-4.9.2-bookworm": ("4.9.2", "GnuTLS 3.7.9", "status"),
    "lftp-4.9.2-trixie": ("4.9.2", "GnuTLS 3.8.9", "status"),
    "lftp-4.9.3-sid": ("4.9.3", "GnuTLS 3.8.13", "status"),
    "lftp-4.9.3-upstream-gnutls": ("4.9.3", "GnuTLS 3.7.9", "status"),
    "lftp-4.9.3-upstream-openssl": ("4.9.3", "OpenSSL 3.0.22", "openssl"),
}


@pytest.mark.lftp
@pytest.mark.parametrize("path", builds(), ids=lambda path: Path(path).name if path else "lftp")
def test_real_builds_have_their_known_properties(path: str | None) -> None:
    try:
        found = identify(find(path))
    except HarnessError as missing:
        pytest.skip(str(missing))
    assert found.dialect in {"classic", "status", "openssl"}
    assert found.version[0].isdigit()
    if known := KNOWN.get(found.path.name):
        assert (found.version, found.tls, found.dialect) == known


@pytest.mark.lftp
def test_identify_ignores_the_users_rc_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        lftp = identify(find())
    except HarnessError as missing:
        pytest.skip(str(missing))
    (tmp_path / ".lftprc").write_text("exit 9\n")
    (tmp_path / ".lftp").mkdir()
    (tmp_path / ".lftp" / "rc").write_text("exit 9\n")
    for name, value in {"HOME": str(tmp_path), "LFTP_HOME": str(tmp_path / ".lftp"), "ftp_proxy": "http://x:1"}.items():
        monkeypatch.setenv(name, value)
    assert identify(find()) == lftp


def test_listener_whose_thread_starts_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the thread may start to listen only after the caller left; its socket must still be open."""
    ended = []
    close_one = binary._close_one

    def late(listener: socket.socket, asked: socket.socket) -> None:
        time.sleep(0.2)
        close_one(listener, asked)
        ended.append(True)

    monkeypatch.setattr(binary, "_close_one", late)
    with binary._closing_listener():
        pass
    assert ended == [True]
