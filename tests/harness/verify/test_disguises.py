"""Setups that look safe but are not, and safe ones that look bad: each with the findings that it must have."""

from __future__ import annotations

import grp
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.harness.verify.conftest import HOST

from ftps_harness.verify import files, pins, targets, text
from ftps_harness.verify.subject import File
from ftps_lab.certificates import CertificateSpec, issue

if TYPE_CHECKING:
    from tests.harness.verify.conftest import Check

    from ftps_harness.verify.findings import Finding

COPY = ("impostor-copy",)
FORCED = "set ftp:ssl-force yes\n"
SAFE = f'set ssl:ca-file "~/.lftp/server.crt"\n{FORCED}'
OFF = "set ssl:verify-certificate/* no\n"


def own(**keys: object) -> bytes:
    spec = CertificateSpec(common_name=HOST, names=(HOST,), **keys)  # type: ignore[arg-type]  # keys of the spec
    return issue({"own": spec})["own"].pem


OWN = own()


@dataclass(frozen=True)
class Setup:
    """An rc, the files beside it, and the findings that it must have, notes included."""

    name: str
    rc: str
    found: frozenset[str]
    files: dict[str, bytes] = field(default_factory=dict)
    host: str | None = None
    rc_name: str = ".lftp/rc"


def _setup(name: str, rc: str, *found: str, **more: object) -> Setup:
    return Setup(name, rc, frozenset(found), **more)  # type: ignore[arg-type]


SETUPS = [
    # Closures.
    _setup("off for all", SAFE + OFF, "no-verification"),
    _setup("off for a pattern that no pin fits", f"{SAFE}set ssl:verify-certificate/*.internal.example no\n",
           "no-verification", files={".lftp/server.crt": b""}),
    _setup("on for one host, off for another", f"{SAFE}set ftp:ssl-force/a.example yes\n"
           "set ssl:verify-certificate/b.example no\n", "no-verification"),
    _setup("a closure with a scheme matches nothing", f"{SAFE}set ssl:verify-certificate/ftp://{HOST} no\n"),
    _setup("a closure with a port matches nothing", f"{SAFE}set ssl:verify-certificate/{HOST}:21 no\n"),
    _setup("off for a host other than the one asked for", f"{SAFE}set ssl:verify-certificate/b.example no\n",
           host=HOST),
    _setup("TLS not demanded of this host", f"{SAFE}set ftp:ssl-force/{HOST} no\n", "tls-not-required"),
    # Other files that lftp reads.
    _setup("~/.lftprc before ~/.lftp/rc", SAFE, "no-verification", files={".lftprc": OFF.encode()}),
    _setup("~/.lftp/rc after ~/.lftprc", SAFE, "no-verification", files={".lftp/rc": OFF.encode()}, rc_name=".lftprc"),
    _setup("a file in HOME that is sourced", f"{SAFE}source ~/common\n", "no-verification",
           files={"common": OFF.encode()}),
    _setup("a pin in another folder of HOME", f"set ssl:ca-file ~/certs/own.crt\n{FORCED}",
           files={"certs/own.crt": OWN}),
    _setup("a bookmark of the host's name", SAFE, "leads-elsewhere",
           files={".lftp/bookmarks": f"{HOST}\tftp://evil.example/\n".encode()}),
    _setup("a bookmark that leads to the host", SAFE,
           files={".lftp/bookmarks": f"{HOST}\tftp://{HOST}/in/\nother\tftp://other.example/\n".encode()}),
    # Ways around the lab's session.
    _setup("open is an alias", f'{SAFE}alias open "set ssl:verify-certificate no; open"\n', "rc-complaint"),
    _setup("open is an alias for another port", f"{SAFE}alias open open -p 2121\n", "leads-elsewhere"),
    _setup("another alias", f"{SAFE}alias l ls -l\n"),
    _setup("ls is an alias", f'{SAFE}alias ls "set ssl:verify-certificate no; ls"\n', "no-verification"),
    _setup("mirror is an alias", f'{SAFE}alias mirror "set ftp:ssl-protect-data no; command mirror"\n', "rc-complaint"),
    _setup("an alias of an alias", f'{SAFE}alias s "set"\nalias up "s ssl:verify-certificate no; mirror -R"\n',
           "rc-complaint"),
    _setup("an alias that a sourced file makes", f"{SAFE}source ~/common\n", "rc-complaint",
           files={"common": b"eval alias mput 'source ~/more'\n"}),
    _setup("aliases that change nothing",
           f'{SAFE}alias mirror "mirror -c"\nalias slow "set net:limit-rate 9"\nalias home open {HOST}\n'),
    _setup("a program prints what is sourced", f'{SAFE}source -e "echo"\n', "runs-commands"),
    _setup("a command at the end", f'{SAFE}set cmd:at-exit "!true"\n', "runs-commands"),
    _setup("another protocol", f"{SAFE}set cmd:default-protocol http\n", "rc-complaint"),
    _setup("the queue", f"{SAFE}queue set ssl:verify-certificate no\n", "no-verification", "rc-complaint"),
    _setup("the host is this machine", f"{SAFE}set dns:name/{HOST} localhost\n", "leads-elsewhere"),
    _setup("a proxy for another host", f"{SAFE}set ftp:proxy/other.example ftp://proxy.example\n", host=HOST),
    _setup("CCC", f"{SAFE}set ftp:ssl-use-ccc yes\n", "control-in-clear"),
    _setup("an invalid priority", f"{SAFE}set ssl:priority NORMAL:+VERS-TLSv1.3\n", "rc-complaint"),
    # Pins.
    _setup("two certificates of the server", SAFE, "old-certificate-trusted",
           files={".lftp/server.crt": own(not_before="-90d") + OWN}),
    _setup("an authority", SAFE, "pin-is-authority", files={".lftp/server.crt": pins.authority("Company").pem},
           host=HOST),
    _setup("a pin for another host", SAFE, "genuine-refused",
           files={".lftp/server.crt": pins.self_signed("other.example").pem}, host=HOST),
    _setup("expired", SAFE, "genuine-refused", "pin-expired",
           files={".lftp/server.crt": own(not_before="-90d", not_after="-1d")}),
    _setup("expires soon", SAFE, "pin-expires", files={".lftp/server.crt": own(not_after="+10d")}),
    _setup("a private key in the file", SAFE, "pin-private-key",
           files={".lftp/server.crt": OWN + b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"}),
    _setup("RSA with 1024 bits", SAFE, "pin-weak", files={".lftp/server.crt": own(key="rsa-1024")}),
    _setup("a relative path", f"set ssl:ca-file .lftp/server.crt\n{FORCED}", "pin-depends-on-folder"),
    _setup("a relative path that a later line replaces", f"set ssl:ca-file none.crt\n{SAFE}", "rc-complaint"),
]  # fmt: skip


@pytest.mark.parametrize("setup", SETUPS, ids=[each.name for each in SETUPS])
def test_setup_has_exactly_these_findings(setup: Setup, check: Check) -> None:
    only = ("refuse-auth-502",) if "tls-not-required" in setup.found else COPY
    report = check(setup.rc, setup.files, rc_name=setup.rc_name, only=only, host=setup.host)
    told = "\n".join(f"{each.severity} {each.id}: {each.title}" for each in report.findings)
    assert {each.id for each in report.findings} == setup.found, told
    assert report.broken == ()
    assert report.safe is all(each.severity == "note" for each in report.findings)


@pytest.mark.parametrize(
    ("rc", "files", "rc_name", "where"),
    [
        (SAFE, {".lftprc": f"# mine\n{OFF}".encode()}, ".lftp/rc", (".lftprc", 2)),
        (SAFE, {".lftprc": f"# mine\n{OFF}# no end".encode()}, ".lftp/rc", (".lftprc", 2)),
        (SAFE + OFF, {".lftprc": OFF.encode()}, ".lftp/rc", (".lftprc", 1)),
        (SAFE, {".lftp/rc": f"#\n#\n{OFF}".encode()}, ".lftprc", (".lftp/rc", 3)),
        (f"{SAFE}source ~/common\n", {"common": f"# site\n{OFF}# end\n".encode()}, ".lftp/rc", ("common", 2)),
        (
            f"{SAFE}source ~/common\nset net:timeout 5\n",
            {"common": b"source ~/.lftp/deep", ".lftp/deep": f"\n\n{OFF}".encode()},
            ".lftp/rc",
            (".lftp/deep", 3),
        ),
        (f"{SAFE}source ~/common\n{OFF}", {"common": OFF.encode()}, ".lftp/rc", ("common", 1)),
    ],
)
def test_finding_names_the_line_in_the_file_that_contains_it(
    rc: str, files: dict[str, bytes], rc_name: str, where: tuple[str, int], check: Check, tmp_path: Path
) -> None:
    """Of two lines with the same setting, the one that changed something is named."""
    report = check(rc, files, rc_name=rc_name, only=COPY)
    [found] = [each for each in report.findings if each.id == "no-verification"]
    assert found.where is not None
    assert (found.where.file, found.where.line) == (str(tmp_path / "home" / where[0]), where[1])
    assert found.where.text == OFF.strip()


def test_weakened_host_that_was_not_tried_is_not_safe(check: Check) -> None:
    weak = "set ssl:check-hostname/a.example no\nset ssl:check-hostname/b.example no\n"
    report = check(SAFE + weak, {".lftp/server.crt": pins.self_signed("a.example").pem}, only=COPY)
    assert report.findings == ()
    assert not report.safe
    assert "b.example was not verified" in report.broken[0]


@pytest.mark.parametrize("name", [".lftp/rc", ".lftp/more", ".lftp/server.crt"])
def test_file_that_others_can_write_is_a_finding(name: str, check: Check, tmp_path: Path) -> None:
    rc = f"{SAFE}source ~/.lftp/more\n"
    report = check(rc, {".lftp/more": b"# nothing\n"}, only=COPY, modes={name: 0o666})
    kind = "pin-permissions" if name.endswith("crt") else "rc-permissions"
    assert [(each.id, str(tmp_path / "home" / name) in each.title) for each in report.findings] == [(kind, True)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("open -u me,secret backup.example", True),
        ("alias b 'open ftp://me:secret@backup.example'", True),
        ("alias b open --user me --password secret backup.example", True),
        ("open -u me backup.example", False),
        ("set ftp:anon-pass me@example.com", False),
        ("# open -u me,secret backup.example", False),
    ],
)
def test_password_that_others_can_read_is_a_finding(line: str, found: bool) -> None:
    def ids(mode: int) -> list[str]:
        return [each.id for each in text.of_text(File(Path("/srv/rc"), f"{line}\n".encode(), mode, 0))]

    assert ids(0o644) == (["secret-exposed-locally"] if found else [])
    assert ids(0o600) == []
    shown: list[Finding] = list(text.of_text(File(Path("/srv/rc"), f"{line}\n".encode(), 0o644, 0)))
    assert not any(each.where and "secret" in each.where.text for each in shown)


def test_password_in_a_private_folder_is_not_a_finding(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = File(tmp_path / "rc", b"open -u me,secret backup.example\n", 0o644, 0)
    assert list(text.of_text(file)) == []


@pytest.mark.parametrize(
    "line", ["at now + 1 hour -- set x y", "repeat 60 set x y", "sleep 60 && set x y", "set x y &"]
)
def test_line_that_takes_effect_later_is_a_finding(line: str) -> None:
    """The lab's runs end before it takes effect."""
    found = list(text.of_text(File(Path("/srv/rc"), f"# mine\n{line}\n".encode(), 0o600, 0)))
    assert [(each.id, each.where and each.where.line) for each in found] == [("rc-complaint", 2)]


def test_fingerprint_and_enabled_closures_do_not_weaken_a_host() -> None:
    closures = {"AB:CD:EF": "no", "a.example": "yes", "*": "no", "ftp://b.example": "no"}
    assert list(targets.weakened({"ssl:verify-certificate": closures})) == []


@pytest.mark.parametrize(
    ("closure", "applies"),
    [
        ("a.example", True),
        ("A.example", False),
        ("[Aa].example", True),
        ("*.example", True),
        ("*.a.example", True),
        ("*.b.a.example", False),
    ],
)
def test_closure_applies_as_in_lftp(closure: str, applies: bool) -> None:
    """It is a case-sensitive pattern (scenario document/host-closure), and `*.a.example` also covers `a.example`."""
    assert targets.matches(closure, "a.example") is applies


@pytest.mark.parametrize(("mode", "found"), [(0o664, False), (0o666, True), (0o644, False)])
def test_write_access_for_the_owners_private_group_is_not_a_finding(mode: int, found: bool, tmp_path: Path) -> None:
    """A umask of 002 is usual where each user has a private group."""
    path = tmp_path / "rc"
    path.write_text("# nothing\n")
    path.chmod(mode)
    own = path.stat()
    if grp.getgrgid(own.st_gid).gr_name != pwd.getpwuid(own.st_uid).pw_name:
        pytest.skip("this user has no group of its own")
    assert bool(list(files.writable("rc-permissions", File(path, b"", mode, own.st_uid)))) is found
