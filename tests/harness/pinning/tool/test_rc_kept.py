"""A hand-written rc: settings in it that undo a pin are reported, and every byte of it stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.tool.conftest import own

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.pinning.tool.conftest import User


pytestmark = pytest.mark.lftp

MINE = "# mine\nset net:timeout 20\n"


OPPOSING = {
    "set ssl:verify-certificate no": "ssl:verify-certificate is no",
    "set verify-cert off": "ssl:verify-certificate is off",
    "SET ssl:verify-certificate/* 0": "ssl:verify-certificate/* is 0",
    "set ssl:verify_certificate/other.example never": "ssl:verify-certificate/other.example is no",
    "set ssl:check-hostname no": "ssl:check-hostname is no",
    "set check/local* no": "ssl:check-hostname/local* is no",
    "set ssl:check-hostname no; set ssl:check-hostname/LOCALHOST yes": "ssl:check-hostname is no",
    "set ftp:ssl-allow no": "ftp:ssl-allow is no",
    "set ftp:ssl-allow/*.localhost no": "ftp:ssl-allow/*.localhost is no",
    "set ftp:ssl-force/*host no": "ftp:ssl-force/*host is no",
    "set ftp:ssl-protect-list n": "ftp:ssl-protect-list is n",
    "set ftp:proxy ftp://u:hunter2@proxy.example": "ftp:proxy is set",
    "set ftp:sync-mode off; set ftp:skey-allow no": "ftp:sync-mode is off",
    "set ssl:ca-file /dev/null": "ssl:ca-file is already /dev/null",
}


@pytest.mark.parametrize("line", OPPOSING)
@pytest.mark.parametrize("name", [".lftp/rc", ".lftprc"])
def test_line_that_undoes_a_pin_is_named_and_nothing_is_written(user: User, name: str, line: str) -> None:
    user.write(f"# mine\n{line}\n", name)
    before = user.state()
    said = user.pin()
    assert (said.code, user.state()) == (1, before)
    assert f"~/{name}, line 2" in said.err
    assert OPPOSING[line] in said.err
    assert "hunter2" not in said.err


def test_line_in_a_sourced_file_that_undoes_a_pin_is_refused(user: User) -> None:
    user.write("set ssl:verify-certificate/* no\n", "more")
    user.write("source ~/more\n")
    before = user.state()
    said = user.pin()
    assert (said.code, user.state()) == (1, before)
    assert "ssl:verify-certificate/* is no" in said.err


@pytest.mark.parametrize(
    "line", ["set ssl:verify-certificate/other no", 'set ssl:ca-file ""', "set ftp:ssl-force/localhost no"]
)
def test_line_after_the_block_that_undoes_a_pin_is_refused(user: User, line: str) -> None:
    assert user.pin().code == 0
    user.write(user.rc.read_text() + line + "\n")
    before = user.state()
    said = user.pin()
    assert (said.code, user.state()) == (1, before)


@pytest.mark.parametrize("rc", [b"set net:timeout 77\\", b"set net:timeout 77\\\n"])
def test_backslash_at_the_end_of_an_rc_does_not_swallow_the_block(user: User, rc: bytes) -> None:
    user.write(rc)
    assert user.pin().code == 0
    assert user.logs_in()
    assert user.rc.read_bytes().startswith(rc)


@pytest.mark.parametrize(
    "rc",
    [
        b"set net:timeout 77\0\n",
        b"# mine\nalias set echo\n",
        b"alias command echo\n",
        b"# mine\nexit\n",
        "set net:timeout 77\n".encode("utf-16"),
    ],
)
def test_rc_that_disables_the_block_is_refused_and_kept(user: User, rc: bytes) -> None:
    user.write(rc)
    before = user.state()
    said = user.pin()
    assert said.code in {1, 3}  # 3 if the rc ends lftp before it prints its settings
    assert user.state() == before
    assert said.err.strip()


@pytest.mark.parametrize(
    "rc",
    [
        b"# mine",
        b"set net:timeout 20\r\n",
        b"\xef\xbb\xbf# mine\n",
        b"# \xff\xfe\n",
        b'alias x "ls\n',
        b"#\n" * 10_000,
        b"",
    ],
)
def test_existing_rc_keeps_every_byte_and_its_mode(user: User, rc: bytes) -> None:
    user.write(rc).chmod(0o640)
    assert user.pin().code == 0
    assert user.rc.read_bytes().startswith(rc)
    assert user.rc.stat().st_mode & 0o777 == 0o640
    assert user.logs_in()
    before = user.state()
    assert (user.pin().code, user.state()) == (0, before)


def test_users_ca_file_is_replaced_only_with_replace(user: User) -> None:
    theirs = user.write(own(names=("other.example",)).pem, "theirs.crt")
    user.write(f"set ssl:ca-file {theirs}\n")
    assert user.pin().code == 1
    assert user.pin("--by", "fingerprint").code == 0
    assert user.pin("--replace").code == 0
    assert user.logs_in()


EDITS: dict[str, Callable[[str], str]] = {
    "commented": lambda text: re.sub("(?m)^set", "#set", text),
    "cut": lambda text: text.replace("# ftps-lab pin: end\n", ""),
    "twice": lambda text: text * 2,
    "weaker": lambda text: re.sub("(ssl-force.*) yes", r"\1 no", text),
    "another file": lambda text: text.replace("ftps-lab-pins", "other"),
    "a line more": lambda text: text.replace("# ftps-lab pin: end", "set net:timeout 1\n# ftps-lab pin: end"),
}


@pytest.mark.parametrize("how", EDITS)
def test_edited_block_is_refused_with_its_line_and_kept(user: User, how: str) -> None:
    assert user.pin().code == 0
    user.write(MINE + EDITS[how](user.rc.read_text()))
    before = user.state()
    said = user.pin()
    assert (said.code, user.state()) == (1, before)
    assert re.search(r"~/\.lftp/rc, line \d+", said.err)
    if how not in {"cut", "twice"}:
        assert user.pin("--replace").code == 0
        assert user.logs_in()
        assert user.rc.read_text().startswith(MINE)
