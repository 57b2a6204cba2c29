"""The real lftp in its sealed HOME: it reads the scenario's rc and ours, no file of the user's, and always ends.

Run on more builds with FTPS_LAB_LFTP_BUILDS=PATH:PATH….
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.client.lftp import (
    Lftp,
    Run,
    keep_out_system_rc,
    open_command,
    read_back,
    run,
    settings_of_ours,
    settings_text,
    why_no_clock,
)
from ftps_harness.client.messages import entries
from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.secrets import Secrets
from ftps_lab.certificates import Certificate, CertificateSpec, issue
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lftp

SECONDS = 20.0


@pytest.fixture(scope="module")
def lftp(each_lftp: Lftp) -> Lftp:
    return each_lftp


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return issue({"genuine": CertificateSpec()})["genuine"]


@pytest.fixture(scope="module")
def secrets() -> Secrets:
    return Secrets.new()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate, secrets: Secrets
) -> Iterator[FtpsServer]:
    root = tmp_path_factory.mktemp("root")
    (root / secrets.file_name).write_bytes(secrets.content)
    with FtpsServer(ServerSpec(certificate=certificate), root=root, password=secrets.password) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path) as home:
        yield home


def run_script(lftp: Lftp, home: Home, *script: str, timeout: float = SECONDS) -> Run:
    return run(lftp, home, script=script, timeout=timeout)


def processes_with(marker: str) -> list[str]:
    """Processes with this marker in their environment or command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                if marker.encode() in (entry / name).read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return [pid for pid in found if int(pid) != os.getpid()]


class TestFilesRead:
    """lftp reads the scenario's rc; the user's files do not exist for it."""

    def test_rc_is_read_before_our_commands(self, lftp: Lftp, home: Home) -> None:
        home.write_rc("echo from the rc\n")
        assert run_script(lftp, home, "echo from us").stdout == b"from the rc\nfrom us\n"

    @pytest.mark.parametrize("cwd", ["home", "lftp", "elsewhere"])
    def test_lftp_starts_in_the_given_folder(self, lftp: Lftp, home: Home, cwd: str) -> None:
        done = run(lftp, home, script=["!pwd"], timeout=SECONDS, cwd=cwd)  # type: ignore[arg-type]
        assert done.stdout.decode().strip() == str(home.folder(cwd))  # type: ignore[arg-type]

    def test_environment_has_only_our_variables(self, lftp: Lftp, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("LFTP_HOME", "XDG_CONFIG_HOME", "ftp_proxy", "SSL_CERT_FILE", "LD_PRELOAD_X", "LFTP_PASSWORD"):
            monkeypatch.setenv(name, "/tmp/of-the-user")  # noqa: S108
        text = run_script(lftp, home, "!env").stdout.decode()
        assert "of-the-user" not in text
        names = {line.partition("=")[0] for line in text.splitlines()} - {"PWD", "OLDPWD", "SHLVL", "_"}
        assert names == {"PATH", "HOME", "LC_ALL", "LANG", "TZ", "TERM"}
        assert f"HOME={home.home}\n" in text

    def test_lftp_opens_no_file_of_the_user(self, lftp: Lftp, home: Home, tmp_path: Path) -> None:
        """strace watches every file that lftp opens."""
        strace = shutil.which("strace")
        if strace is None:
            pytest.skip("strace is not here: apt install strace")
        trace = tmp_path / "trace"
        watch = (strace, "-f", "-qq", "-e", "trace=file", "-o", str(trace))
        if subprocess.run([*watch, "true"], check=False, capture_output=True).returncode != 0:
            pytest.skip("strace may not trace here")
        home.write_rc("set cmd:fail-exit no\n")
        run(lftp, home, script=["open -p 9 ftp://127.0.0.1", "pwd"], timeout=SECONDS, prefix=watch)
        paths = set(re.findall(r'"((?:[^"\\]|\\.)*)"', trace.read_text()))
        assert str(home.dot_lftp / "rc") in paths
        users = {Path(pwd.getpwuid(os.getuid()).pw_dir), Path.home()}
        touched = [p for p in paths if any(user == Path(p) or user in Path(p).parents for user in users)]
        assert [path for path in touched if not path.startswith(str(lftp.path.parent))] == []

    def test_password_is_in_no_argument_and_not_in_the_log(
        self, lftp: Lftp, home: Home, server: FtpsServer, secrets: Secrets, certificate: Certificate
    ) -> None:
        done = _list(lftp, home, server, secrets, certificate)
        assert done.exit_code == 0
        assert not any(secrets.password in argument for argument in done.argv)
        assert secrets.password.encode() not in done.log
        assert b"PASS XXXX" in done.log


def _list(
    lftp: Lftp,
    home: Home,
    server: FtpsServer,
    secrets: Secrets,
    certificate: Certificate,
    *extra: str,
    log: bool = True,
) -> Run:
    home.put_file("pin.crt", certificate.pem)
    home.write_rc('set ssl:ca-file "~/.lftp/pin.crt"\n')
    script = [
        *settings_of_ours("localhost"),
        *extra,
        open_command("explicit", "localhost", server.port, secrets.user),
        "ls",
    ]
    return run(lftp, home, script=script, timeout=SECONDS, password=secrets.password, log=log)


class TestLog:
    """The log is a file separate from standard error; if it is missing, that shows."""

    def test_log_is_written_outside_home(
        self, lftp: Lftp, home: Home, server: FtpsServer, secrets: Secrets, certificate: Certificate
    ) -> None:
        done = _list(lftp, home, server, secrets, certificate)
        assert (done.exit_code, done.stderr, done.log_missing) == (0, b"", False)
        assert secrets.file_name.encode() in done.stdout
        assert all(re.match(rb"\[\d+\] ", line) for line in done.log.splitlines())
        assert b"---> AUTH TLS" in entries(done.log)
        assert not [path for path in home.home.rglob("*") if path.suffix == ".log"]

    def test_each_run_has_its_own_log(self, lftp: Lftp, home: Home) -> None:
        nobody = [*settings_of_ours("localhost"), open_command("explicit", "localhost", 9, "u")]
        first = run_script(lftp, home, *nobody, "ls")
        second = run_script(lftp, home, *nobody)
        assert b"Connecting to" in first.log
        assert b"Connecting to" not in second.log  # `open` alone resolves the name and does not connect
        assert not second.log_missing

    def test_run_without_a_log_is_possible(
        self, lftp: Lftp, home: Home, server: FtpsServer, secrets: Secrets, certificate: Certificate
    ) -> None:
        done = _list(lftp, home, server, secrets, certificate, log=False)
        assert (done.exit_code, done.log, done.log_missing) == (0, b"", False)
        assert "debug" not in done.argv[-1]
        assert not list(home.logs.iterdir())

    def test_missing_log_is_reported(self, lftp: Lftp, home: Home) -> None:
        home.write_rc("alias command echo\n")
        done = run_script(lftp, home, "ls")
        assert (done.log, done.log_missing, done.timed_out) == (b"", True, False)

    def test_aliases_in_the_rc_do_not_prevent_the_log(self, lftp: Lftp, home: Home) -> None:
        home.write_rc("alias set echo\nalias debug echo\nalias open echo\n")
        done = run_script(lftp, home, *settings_of_ours("localhost"), open_command("explicit", "localhost", 9, "u"))
        assert not done.log_missing
        assert done.stdout == b""


class TestRunEnds:
    """Whatever the rc or a command does, the run ends and leaves nothing behind."""

    @pytest.mark.parametrize(
        "rc",
        [
            "set cmd:fail-exit yes\nls\n",
            "set 'unclosed\n",
            'echo "unclosed\n',
            "(\n",
            "nonsense and more of it\n",
            "set no-such-setting x\nset ssl:verify-certificate maybe\n",
            "\x00\x01\x02\xff",
            "exit\n",
            "!exit 3\n",
            "source ~/.lftp/rc-that-is-not-there\n",
            "lftp\n",
            "cat -\n",
            "!cat\n",
            "open\n",
            "set cmd:at-exit 'echo bye'\n",
            "command\n",
            "a" * 100_000 + "\n",
        ],
        ids=lambda rc: repr(rc[:20]),
    )
    def test_malformed_rc_does_not_hang_the_run(self, lftp: Lftp, home: Home, rc: str) -> None:
        home.write_rc(rc)
        done = run_script(lftp, home, "echo done", timeout=10)
        assert not done.timed_out
        assert not processes_with(str(home.root))

    @pytest.mark.parametrize(
        "rc",
        [
            "!sleep 60\n",
            "repeat 1 echo x\n",
            "sleep 60\n",
            "source -e 'sleep 60'\n",
            "queue sleep 60\n",
            "sleep 60 &\n",
        ],
        ids=lambda rc: rc.strip(),
    )
    def test_command_that_does_not_end_is_killed(self, lftp: Lftp, home: Home, rc: str) -> None:
        home.write_rc(rc)
        started = time.monotonic()
        done = run_script(lftp, home, "echo done", timeout=0.8)
        assert done.timed_out
        assert time.monotonic() - started < 8
        assert not processes_with(str(home.root))

    def test_run_waits_for_a_background_job(self, lftp: Lftp, home: Home) -> None:
        """The job leaves session and group (src/lftp.cc, detach), but still belongs to the run."""
        done = run_script(lftp, home, "(sleep 1; !touch finished) &")
        assert (done.timed_out, done.exit_code) == (False, 0)
        assert done.seconds > 0.9
        assert (home.home / "finished").exists()
        assert not processes_with(str(home.root))

    def test_background_job_is_killed_at_the_time_limit(self, lftp: Lftp, home: Home) -> None:
        done = run_script(lftp, home, "sleep 60 &", timeout=0.8)
        assert done.timed_out
        assert not processes_with(str(home.root))

    def test_crash_is_reported_as_a_signal(self, lftp: Lftp, home: Home) -> None:
        done = run_script(lftp, home, "!kill -SEGV $PPID", "sleep 5")
        assert (done.exit_code, done.signal, done.timed_out) == (None, 11, False)

    def test_exit_in_the_rc_does_not_end_the_run(self, lftp: Lftp, home: Home) -> None:
        """lftp still executes our commands (measured on 4.8.4 to 4.9.3)."""
        home.write_rc("exit 3\necho after\n")
        done = run_script(lftp, home, "echo from us")
        assert done.stdout.endswith(b"from us\n")

    def test_exit_code_is_that_of_the_last_command(self, lftp: Lftp, home: Home) -> None:
        assert run_script(lftp, home, "ls -broken-", "echo x").exit_code == 0
        assert run_script(lftp, home, "echo x", "get").exit_code == 1

    def test_commands_may_end_in_ampersand_semicolon_or_comment(self, lftp: Lftp, home: Home) -> None:
        assert run_script(lftp, home, "(echo one) &", "echo two;", "echo 3 # comment", "echo four").stdout.endswith(
            b"four\n"
        )


class TestOurSettings:
    """Our settings cover timeouts, retries and the route to the lab, and never trust."""

    def test_our_settings_leave_trust_unchanged(self, lftp: Lftp, home: Home) -> None:
        def trust(script: list[str]) -> list[str]:
            lines = settings_text(lftp, home, script).splitlines()
            return [line for line in lines if re.match(r"set (ssl:|ftp:ssl-)", line)]

        assert trust(settings_of_ours("ftp.example.test")) == trust([])
        assert trust([])

    def test_lftp_accepts_each_of_our_settings(self, lftp: Lftp, home: Home) -> None:
        assert run_script(lftp, home, *settings_of_ours("ftp.example.test")).stderr == b""
        before = settings_text(lftp, home)
        after = settings_text(lftp, home, settings_of_ours("ftp.example.test"))
        changed = {line.split()[1] for line in set(after.splitlines()) - set(before.splitlines())}
        assert changed == {
            *("net:timeout", "net:max-retries", "dns:order", "dns:max-retries", "dns:name/ftp.example.test"),
            *("net:reconnect-interval-base", "net:reconnect-interval-max", "net:reconnect-interval-multiplier"),
        }

    def test_ip_address_needs_no_dns_setting(self) -> None:
        assert not any("dns:" in line for line in settings_of_ours("127.0.0.1"))

    @pytest.mark.parametrize("host", ["a b", "a;ls", 'a"b', "", "a\nb", "a/b", "$x"])
    def test_host_that_cannot_be_quoted_is_a_usage_error(self, host: str) -> None:
        with pytest.raises(UsageError, match="host"):
            settings_of_ours(host)
        with pytest.raises(UsageError, match="host"):
            open_command("explicit", host, 21, "u")

    @pytest.mark.parametrize("host", ["localhost", "ftp.example.test", "127.0.0.1"])
    def test_every_host_name_leads_to_the_lab(
        self, lftp: Lftp, home: Home, server: FtpsServer, secrets: Secrets, host: str
    ) -> None:
        home.write_rc("set ssl:verify-certificate no\n")
        script = [*settings_of_ours(host), open_command("explicit", host, server.port, secrets.user), "ls"]
        done = run(lftp, home, script=script, timeout=SECONDS, password=secrets.password)
        assert done.exit_code == 0
        assert secrets.file_name.encode() in done.stdout

    def test_closed_port_ends_the_run_within_10_seconds(self, lftp: Lftp, home: Home) -> None:
        done = run_script(
            lftp, home, *settings_of_ours("localhost"), open_command("explicit", "localhost", 9, "u"), "ls"
        )
        assert done.seconds < 10
        assert not done.timed_out


class TestOpen:
    """`open` before any connection: which user logs in, and how."""

    def test_named_user_logs_in_over_tls_with_its_password(
        self, lftp: Lftp, home: Home, server: FtpsServer, secrets: Secrets, certificate: Certificate
    ) -> None:
        server.record()
        _list(lftp, home, server, secrets, certificate)
        server.settle()
        (credential,) = server.testimony().credentials
        assert (credential.user, credential.password, credential.channel) == (secrets.user, secrets.password, "tls")

    def test_anonymous_login_of_lftp_uses_no_tls(
        self, lftp: Lftp, home: Home, server: FtpsServer, secrets: Secrets
    ) -> None:
        server.record()
        script = [*settings_of_ours("localhost"), open_command("explicit", "localhost", server.port, "anonymous"), "ls"]
        run(lftp, home, script=script, timeout=SECONDS, password=secrets.password)
        server.settle()
        testimony = server.testimony()
        assert testimony.handshakes == ()
        assert {(c.user, c.channel) for c in testimony.credentials} == {("anonymous", "clear")}
        assert secrets.password not in testimony.passwords

    @pytest.mark.parametrize("user", ["", "a\nb", "a\r", "\0"])
    def test_user_that_cannot_be_quoted_is_a_usage_error(self, user: str) -> None:
        with pytest.raises(UsageError, match="user"):
            open_command("explicit", "localhost", 21, user)

    def test_url_has_the_protocol_and_port(self) -> None:
        assert open_command("explicit", "h", 2121, "u").endswith("-p 2121 ftp://h")
        assert open_command("plain", "h", 2121, "u").endswith("-p 2121 ftp://h")
        assert open_command("implicit", "h", 2121, "u").endswith("-p 2121 ftps://h")
        assert open_command("explicit", "::1", 2121, "u").endswith("ftp://[::1]")


class TestReadBack:
    """The settings in effect are the ones that lftp reports, not the ones in the rc."""

    def test_read_back_returns_global_values_and_closures(self, lftp: Lftp, home: Home) -> None:
        home.write_rc(
            "set verify-certificate/* no\nset ssl:verify-certificate/AB:CD yes\nset ssl:check-hostname off\n"
            'set cmd:prompt/"a b" "x \\"y\\" z"\n'
        )
        found = read_back(lftp, home, ["ssl:verify-certificate", "ssl:check-hostname", "no:such", "ssl:ca-file"])
        assert found == {
            "ssl:verify-certificate": {"": "yes", "*": "no", "AB:CD": "yes"},
            "ssl:check-hostname": {"": "off"},
            "ssl:ca-file": {"": ""},
        }

    def test_read_back_includes_commands_after_the_rc(self, lftp: Lftp, home: Home) -> None:
        home.write_rc("set ssl:verify-certificate/* yes\nalias set echo\n")
        commands = ["command set ssl:verify-certificate/*", "command set ssl:verify-certificate no"]
        found = read_back(lftp, home, ["ssl:verify-certificate"], commands)
        assert found == {"ssl:verify-certificate": {"": "no"}}

    def test_read_back_ignores_output_of_the_rc(self, lftp: Lftp, home: Home) -> None:
        home.write_rc("echo 'set ssl:verify-certificate no'\n")
        assert read_back(lftp, home, ["ssl:verify-certificate"]) == {"ssl:verify-certificate": {"": "yes"}}

    def test_rc_that_kills_lftp_is_an_error(self, lftp: Lftp, home: Home) -> None:
        home.write_rc("!kill $PPID\n")
        with pytest.raises(HarnessError, match=r"no settings"):
            settings_text(lftp, home)


def test_clock_is_shifted_for_lftp_only(
    lftp: Lftp, home: Home, server: FtpsServer, secrets: Secrets, certificate: Certificate
) -> None:
    if reason := why_no_clock(lftp):
        pytest.skip(reason)
    home.put_file("pin.crt", certificate.pem)
    home.write_rc('set ssl:ca-file "~/.lftp/pin.crt"\n')
    script = [*settings_of_ours("localhost"), open_command("explicit", "localhost", server.port, secrets.user), "ls"]
    exits = {}
    for clock in (None, "+364d", "+366d", "-2d"):
        done = run(lftp, home, script=script, timeout=SECONDS, password=secrets.password, clock=clock)
        exits[clock] = done.exit_code
        assert (b"Certificate verification" in done.stderr) == (done.exit_code != 0)
    assert exits == {None: 0, "+364d": 0, "+366d": 1, "-2d": 1}


def test_system_rc_can_be_hidden(lftp: Lftp, home: Home, tmp_path: Path) -> None:
    """Shown with a file that lftp does read: its own rc."""
    home.write_rc("echo from the rc\n")
    prefix = keep_out_system_rc(home.dot_lftp / "rc")
    if prefix is None:
        pytest.skip("unshare --mount is not permitted here")
    done = run(lftp, home, script=["echo from us"], timeout=SECONDS, prefix=prefix)
    assert done.stdout == b"from us\n"
    assert run_script(lftp, home, "echo from us").stdout == b"from the rc\nfrom us\n"
