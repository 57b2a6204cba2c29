"""Lines of the system rc that would change a run are found, named, and hidden where the machine allows it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ftps_harness.client.lftp import Lftp, keep_out_system_rc, system_rc, system_rc_lines, system_rc_prefix
from ftps_harness.errors import HarnessError

if TYPE_CHECKING:
    from pathlib import Path

DEBIAN = """## some useful aliases
alias dir ls
alias less more
alias reconnect "close; cache flush; cd ."

## make prompt look better
set prompt "lftp \\S\\? \\u\\@\\h:\\w> "
#set default-protocol/ftp.*	ftp
#set ftp:ssl-force yes
set sync-mode/ftp.idsoftware.com on
set auto-sync-mode "icrosoft FTP Service|MadGoat|MikroTik"
set xfer:max-redirections 10
# set at-exit "set > ~/.lftp/settings"
# source ~/.lftp/settings
set cmd:term-status/*screen* "\\e_\\T\\e\\\\"
set dns:order "inet6 inet"
"""


def risky_lines(folder: Path, text: str) -> list[tuple[int, str]]:
    path = folder / "lftp.conf"
    path.write_text(text)
    return system_rc_lines(path)


def test_debians_system_rc_has_no_risky_line(tmp_path: Path) -> None:
    assert risky_lines(tmp_path, DEBIAN) == []


def test_missing_system_rc_needs_no_prefix(tmp_path: Path) -> None:
    assert system_rc_lines(tmp_path / "lftp.conf") == []
    assert system_rc_prefix(tmp_path / "lftp.conf") == ()


@pytest.mark.parametrize(
    "line",
    [
        "set ssl:verify-certificate no",
        "set ssl:verify-certificate/* no",
        'set "ssl:verify-certificate/ftp.example.test" no',
        "  set   ssl:ca-file /etc/pin.pem",
        "set verify-certificate no",
        "set verify_certificate no",
        "set ver no",
        "set v-c no",
        "set ca-file /etc/pin.pem",
        "set ss:ca /etc/pin.pem",
        "set check-hostname off",
        "set ftp:ssl-force yes",
        "set ssl-allow no",
        "set ftp:ssl-protect-data no",
        "set ssl-p-d no",
        "set -d ssl:verify-certificate",
        "set ssl:verify-certificate",
        "set prompt x; set ssl:check-hostname no",
        "set prompt x && set ssl:check-hostname no",
        "(set ssl:check-hostname no)",
        "command set ssl:check-hostname no",
        "se ssl:check-hostname no",
        "set at-exit 'set ssl:check-hostname no'",
        "source /etc/lftp.d/site",
        "sourc /etc/lftp.d/site",
        "eval -f x y",
        "module proto-ftp",
        "alias set echo",
        "alias command",
        "alias debug 'echo'",
        "set \\\n ssl:verify-certificate no",
        "SET ssl:verify-certificate no",
        '"set" ssl:verify-certificate no',
        "'set' ssl:verify-certificate no",
        "# x \\\nset ssl:verify-certificate/* no",
        "set dns:name/* 192.0.2.1",
        "set ftp:proxy ftp://192.0.2.1",
        "set hftp:proxy http://192.0.2.1",
        "set ftps:initial-prot P",
        "set ftp:sync-mode off",
        "set sync-mode/* 0",
        "set ftp:skey-allow no",
        "set cmd:at-exit 'open 192.0.2.1'",
        "set log:enabled/xfer no",
        "set net:socket-bind-ipv4 192.0.2.1",
        "set prompt x\\;set ssl:check-hostname no",
        "alias ls 'open 192.0.2.1; ls'",
        "open 192.0.2.1",
        "!touch /tmp/x",
        "no set ftp:ssl-force yes",
        "set",
    ],
)
def test_risky_line_is_found_with_its_number(tmp_path: Path, line: str) -> None:
    found = risky_lines(tmp_path, f"# a comment\nset prompt x\n{line}\nset net:timeout 5\n")
    comment, _, after = line.partition("\n")
    at, text = (4, after) if comment.startswith("#") else (3, line)
    assert [number for number, _ in found] == [at]
    assert found[0][1].startswith(text.partition("\\")[0].strip())


@pytest.mark.parametrize(
    "line",
    [
        "# set ssl:verify-certificate no",
        "   # source /etc/x",
        "set net:timeout 5",
        "set color:dir-colors x",
        "set xfer:clobber yes",
        "set sftp:connect-program x",
        "set cmd:prompt ssl:verify-certificate",
        "set http:use-allprop no",
        "alias settings 'set -a'",
        "alias sources ls",
        "",
    ],
)
def test_harmless_line_is_not_found(tmp_path: Path, line: str) -> None:
    assert risky_lines(tmp_path, f"{line}\n") == []


def test_line_numbers_count_continued_lines(tmp_path: Path) -> None:
    text = "set prompt \\\n \\\n x\nset ssl:ca-file y\nse\\\nt ver\\\nify no\nset ca-path z"
    assert [number for number, _ in risky_lines(tmp_path, text)] == [4, 5, 8]


def test_system_rc_may_contain_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "lftp.conf"
    path.write_bytes(b"\xff\xfe\x00\nset ssl:ca-file \xff\nset \"\nset '\nset\nalias\n")
    assert [number for number, _ in system_rc_lines(path)] == [1, 2, 3, 4, 5, 6]
    path.write_bytes(b"set " * 10_000 + b"\n" + b"\\\n" * 10_000)
    system_rc_lines(path)


def test_prefix_hides_the_file_from_a_command(tmp_path: Path) -> None:
    path = tmp_path / "lf tp.conf"
    path.write_text("set ssl:verify-certificate no\n")
    prefix = keep_out_system_rc(path)
    if prefix is None:
        pytest.skip("unshare --mount is not permitted here")
    assert system_rc_prefix(path) == prefix
    shown = subprocess.run([*prefix, "cat", str(path)], capture_output=True, check=True, timeout=20)
    assert shown.stdout == b""
    assert path.read_text() == "set ssl:verify-certificate no\n"


def test_prefix_keeps_the_process_number(tmp_path: Path) -> None:
    """The time limit and the debug log's entries refer to that process number."""
    path = tmp_path / "lftp.conf"
    path.write_text("")
    prefix = keep_out_system_rc(path)
    if prefix is None:
        pytest.skip("unshare --mount is not permitted here")
    with subprocess.Popen([*prefix, "sh", "-c", "echo $$"], stdout=subprocess.PIPE) as process:
        assert process.communicate(timeout=20)[0] == f"{process.pid}\n".encode()


def test_risky_lines_that_cannot_be_hidden_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lftp.conf"
    path.write_text("set prompt x\nset ssl:verify-certificate no\nset ca-file y\n")
    monkeypatch.setattr(system_rc, "keep_out_system_rc", lambda _: None)
    with pytest.raises(HarnessError) as raised:
        system_rc_prefix(path)
    for part in (
        str(path),
        "line 2: set ssl:verify-certificate no",
        "line 3: set ca-file y",
        "comment these lines out",
    ):
        assert part in str(raised.value)


def test_hiding_needs_unshare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    keep_out_system_rc.cache_clear()
    try:
        assert keep_out_system_rc(tmp_path / "lftp.conf") is None
    finally:
        keep_out_system_rc.cache_clear()


@pytest.mark.lftp
@pytest.mark.parametrize(
    "line",
    [
        *(
            "set ftp:proxy ftp://127.0.0.1:PORT",
            "set hftp:proxy http://127.0.0.1:PORT",
            "open ftp://127.0.0.1:PORT; ls",
        ),
        *("alias set echo", "alias debug echo", "set cmd:fail-exit yes; nonsense", "!sleep 20", "set dns:order inet6"),
    ],
)
def test_probe_of_lftp_does_not_depend_on_the_system_rc(client: Lftp, tmp_path: Path, line: str) -> None:
    """It happens outside the sandbox: a proxy in the file would be a real host."""
    if not system_rc.SYSTEM_RC.exists() or shutil.which("unshare") is None or keep_out_system_rc() is None:
        pytest.skip("this machine permits no file in place of /etc/lftp.conf (doctor: unshare)")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        file = tmp_path / "lftp.conf"
        file.write_text(line.replace("PORT", str(proxy.getsockname()[1])) + "\n")
        script = "from ftps_harness.client import lftp; print(lftp.identify(lftp.find()).dialect)"
        mounted = 'mount --bind "$0" /etc/lftp.conf && exec "$@"'
        command = [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            mounted,
            str(file),
            sys.executable,
            "-c",
            script,
        ]
        done = subprocess.run(
            command, env={"FTPS_LAB_LFTP": str(client.path)}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == client.dialect, done.stderr
        with pytest.raises(BlockingIOError):
            proxy.accept()
