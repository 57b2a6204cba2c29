"""Without a sandbox in the kernel: a harmless rc is judged on loopback as in the sealed place."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.harness.verify.conftest import HOST
from tests.harness.verify.test_disguises import COPY, FORCED, OFF, SAFE, SETUPS, Setup

from ftps_harness.cli import call
from ftps_harness.sandbox.sandbox import Sandbox, Unavailable
from ftps_harness.verify import unsealed
from ftps_harness.verify.base import Options
from ftps_harness.verify.pins import self_signed
from ftps_harness.verify.subject import Subject, load
from ftps_harness.verify.unsealed import UnsealedPlaces, admitted, require_own
from ftps_harness.verify.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.verify.base import Report

WHY = "the kernel does not permit it: as root: sysctl user.max_user_namespaces=10000"

OWN = self_signed(HOST).pem


def subject_of(
    home: Path, rc: str | bytes, files: dict[str, bytes] | None = None, rc_name: str = ".lftp/rc"
) -> Subject:
    everything = {".lftp/server.crt": OWN, **(files or {}), rc_name: rc if isinstance(rc, bytes) else rc.encode()}
    for name, data in everything.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
        (home / name).chmod(0o644)
    return load(str(home / rc_name), home)


def is_admitted(setup: Setup, home: Path) -> bool:
    try:
        admitted(subject_of(home, setup.rc, dict(setup.files), setup.rc_name), WHY)
    except Unavailable:
        return False
    return True


@pytest.fixture(scope="module")
def unsealed_places() -> UnsealedPlaces:
    return UnsealedPlaces(WHY)


LINES = (
    "set ssl:verify-certificate/*.example no",
    "set ssl:verify-certificate/127.0.0.1 no",
    "set ftp:ssl-force/backup* no",
    "set ssl:check-hostname no",
    "set ftp:ssl-allow no",
    "set ftp:ssl-protect-data no",
    "set ftp:ssl-protect-list 0",
    "set ftp:ssl-use-ccc yes",
    "set ssl:priority NORMAL:+VERS-TLSv1.3",
    "set ssl:ca-file /nowhere/x.crt",
)

SAME = [
    *SETUPS,
    *(Setup(line, f"{SAFE}{line}\n", frozenset()) for line in LINES),
]


@pytest.mark.parametrize("setup", SAME, ids=[each.name for each in SAME])
def test_admitted_setup_has_the_same_findings_on_loopback_as_sealed(
    setup: Setup, places: SealedPlaces, unsealed_places: UnsealedPlaces, client: Lftp, tmp_path: Path
) -> None:
    """A setup that is not admitted is refused on loopback."""
    home = tmp_path / "home"
    let_in = is_admitted(setup, home)
    subject = load(str(home / setup.rc_name), home)
    options = Options(only=frozenset(COPY) | {"refuse-auth-502"}, host=setup.host)
    if not let_in:
        with pytest.raises(Unavailable, match=WHY):
            verify(subject, client, unsealed_places, options)
        return
    found: list[Report] = [verify(subject, client, each, options) for each in (places, unsealed_places)]
    sealed, loopback = found
    assert (sealed.place, loopback.place) == ("sealed", "loopback")
    assert {each.id for each in loopback.findings} == {each.id for each in sealed.findings}
    assert [(each.trial.name, each.verdict) for each in loopback.tried] == [
        (each.trial.name, each.verdict) for each in sealed.tried
    ]
    assert loopback.safe is sealed.safe
    assert loopback.login == sealed.login


def test_at_least_30_setups_are_admitted(tmp_path: Path) -> None:
    """Otherwise the comparison of loopback with sealed would compare nothing."""
    assert sum(is_admitted(setup, tmp_path / str(number)) for number, setup in enumerate(SAME)) >= 30


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("!touch x", "not a single plain `set`"),
        ("set ftp:ssl-force yes; !touch x", "not a single plain `set`"),
        ('set ssl:ca-file "$(touch x)"', "not a single plain `set`"),
        ("source ~/more", "not a single plain `set`"),
        ("alias open close", "not a single plain `set`"),
        ("open ftp.example.org", "not a single plain `set`"),
        ("set ftp:proxy ftp://evil.example", "ftp:proxy is not one of the settings"),
        ("set ftp:pro ftp://evil.example", "ftp:pro is not one of the settings"),
        ("set proxy ftp://evil.example", "proxy is not one of the settings"),
        ("set dns:name/backup.example evil.example", "dns:name is not one of the settings"),
        ("set cmd:at-exit exit", "cmd:at-exit is not one of the settings"),
        ("set xfer:verify-command touch", "xfer:verify-command is not one of the settings"),
        ("set xfer:log-file /tmp/x", "xfer:log-file is not one of the settings"),
        ("SET ftp:ssl-force yes", "not a single plain `set`"),
        ("# a comment \\", "joins the next line to it"),
        ("set ftp:ssl-force yes \\", "joins the next line to it"),
        ("set ftp:ssl-force yes\r", "not a single plain `set`"),
        ("# \r!touch x", "not a single plain `set`"),
        ("# \0!touch x", "not a single plain `set`"),
        ("set ssl:ca-file ~root/x", "other users' files"),
        ("set ssl:ca-file /etc/ssl/certs/ca-certificates.crt", "the system's trust store"),
        ("set ssl:verify-certificate no & !touch x", "not a single plain `set`"),
        ("set ssl:verify-certificate no #", "not a single plain `set`"),
        ("(set ssl:verify-certificate no)", "not a single plain `set`"),
    ],
)
def test_line_that_may_do_more_than_set_is_refused(line: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        admitted(subject_of(tmp_path, f"{SAFE}{line}\n"), WHY)
    said = str(refused.value)
    number = SAFE.count("\n") + 1
    assert f"{tmp_path}/.lftp/rc:{number}: " in said
    assert reason in said
    assert WHY in said


def test_line_of_lftprc_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"\.lftprc:1: '!true'"):
        admitted(subject_of(tmp_path, SAFE, {".lftprc": b"!true\n"}), WHY)


def test_rc_without_a_pin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="names no pin"):
        admitted(subject_of(tmp_path, FORCED), WHY)


@pytest.mark.parametrize("host", ["10.0.0.5", "10.1", "192.0.2.1", "2001:db8::1", "127.0.0.2", "0x7f.1", "a b", ""])
def test_foreign_address_or_invalid_name_is_refused(host: str) -> None:
    with pytest.raises(Unavailable, match="lftp would connect to this address itself"):
        require_own(host, WHY)


@pytest.mark.parametrize("host", ["backup.example", "localhost", "127.0.0.1", "::1", "a-1.example."])
def test_host_name_or_loopback_address_is_admitted(host: str) -> None:
    require_own(host, WHY)


def test_address_in_a_closure_is_refused(client: Lftp, tmp_path: Path, unsealed_places: UnsealedPlaces) -> None:
    subject = subject_of(tmp_path, f"{SAFE}set ssl:verify-certificate/192.0.2.7 no\n")
    with pytest.raises(Unavailable, match=r"192\.0\.2\.7: lftp would connect to this address itself"):
        verify(subject, client, unsealed_places, Options())


def test_lftp_reads_a_copy_of_the_users_home(client: Lftp, tmp_path: Path, unsealed_places: UnsealedPlaces) -> None:
    """The user's own files change after the lab has read them; lftp sees the copy made before."""
    subject = subject_of(tmp_path, SAFE)
    (tmp_path / ".lftp/rc").write_text(f"!touch {tmp_path}/ran\n{OFF}")
    report = verify(subject, client, unsealed_places, Options(only=frozenset(COPY)))
    assert report.safe
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Unavailable(WHY)

    monkeypatch.setattr(Sandbox, "__init__", refuse)


def test_every_report_states_the_limits_of_loopback(
    no_sandbox: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    subject_of(tmp_path, SAFE)
    reports = [
        "--json",
        "r.json",
        "--junit",
        "r.xml",
        "--sarif",
        "r.sarif",
        "--markdown",
        "r.markdown",
        "--html",
        "r.html",
    ]
    assert call(["verify", "--only", "impostor-copy", *reports]) == 0
    first = " ".join(" ".join(capsys.readouterr().out.splitlines()[:8]).split())
    assert f"in the loopback place. Note: place loopback: {unsealed.unseen()}" in first
    data = json.loads((tmp_path / "r.json").read_text())
    assert (data["place"], data["safe"]) == ("loopback", True)
    for name in ("r.json", "r.xml", "r.sarif", "r.markdown", "r.html"):
        assert "dns:name led lftp to the lab" in (tmp_path / name).read_text(), name


def test_report_of_an_interrupted_run_names_its_place(
    no_sandbox: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ftps_harness.verify.verify.begin", interrupt)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    subject_of(tmp_path, SAFE)
    assert call(["verify", "--json", "r.json"]) == 130
    data = json.loads((tmp_path / "r.json").read_text())
    assert (data["interrupted"], data["safe"], data["place"]) == (True, False, "loopback")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--", "/bin/true"], 3, "verifying a command or script needs the sealed place"),
        ([".lftp/rc", "--fix"], 2, "--fix needs the sealed place"),
        ([".lftp/rc", "--system-rc", ".lftp/rc"], 3, "--system-rc needs the sealed place"),
        ([".lftp/rc", "--host", "192.0.2.7"], 3, "192.0.2.7: lftp would connect to this address itself"),
    ],
)
def test_feature_that_needs_the_sandbox_is_refused_on_loopback(
    arguments: list[str],
    code: int,
    said: str,
    no_sandbox: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    subject_of(tmp_path, SAFE)
    assert call(["verify", *arguments]) == code
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("rc", "code"), [(SAFE, 0), (f"{SAFE}{OFF}", 1), (f"{SAFE}!true\n", 3)])
def test_loopback_is_used_where_the_kernel_forbids_namespaces(rc: str, code: int, tmp_path: Path) -> None:
    """A user namespace that permits no nested one, as in a container with Docker's default seccomp profile."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare: apt install util-linux")
    subject_of(tmp_path, rc)
    verified = f"{shlex.quote(sys.executable)} -m ftps_harness verify .lftp/rc --only impostor-copy"
    script = f"echo 0 >/proc/sys/user/max_user_namespaces && exec {verified}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "/proc/sys" in done.stderr:
        pytest.skip("no user namespaces to begin with")
    assert done.returncode == code, done.stdout + done.stderr
    assert ("place loopback" in done.stdout) is (code != 3)
