"""compose.yaml itself: entries that it must never have, and values that must match the tables in the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ftps_lab.classroom.hosts import HOSTS, PASSWORD, USER
from ftps_lab.containers.images import SERVERS
from ftps_lab.daemons import NEEDS

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "compose.yaml").read_text()
SERVICES = COMPOSE.partition("\nservices:\n")[2].partition("\nnetworks:\n")[0]
SSH = (ROOT / "compose.ssh.yaml").read_text()
STAFF = ("teacher", "class", "checker")
"""Services that are neither a host nor a learner's own shell."""
LESSONS = (ROOT / "docs/classroom.md").read_text()
IMAGE = ROOT / "harness/images/lftp"


def service(name: str) -> str:
    """The block of a service."""
    (found,) = re.findall(rf"^  {name}:\n((?:    .*\n|\n)+)", SERVICES, re.MULTILINE)
    return str(found)


def test_every_host_has_its_service_and_every_service_its_row() -> None:
    named = re.findall(r"^  ([a-z-]+):$", SERVICES, re.MULTILINE)
    assert [name for name in named if not name.startswith("student") and name not in STAFF] == list(HOSTS)
    for name, host in HOSTS.items():
        text = service(name)
        assert f"    hostname: {name}\n" in text
        assert f"    command: [python, -m, ftps_lab.classroom, serve, {name}]\n" in text
        assert f"    networks: {{classroom: {{aliases: [{host.address}]}}}}\n" in text
        assert ('    volumes: ["staff:/staff", "handout:/handout"]\n' in text) is bool(host.handed_out)


def test_students_know_all_hosts_and_wait_for_them() -> None:
    (addresses,) = re.findall(r"CLASSROOM_HOSTS: >-\n((?:      .*\n)+)", COMPOSE)
    assert addresses.split() == [host.address for host in HOSTS.values()]
    assert re.findall(r"    ([a-z-]+): \{condition: service_healthy\}", COMPOSE) == list(HOSTS)
    assert f"CLASSROOM_USER: {USER}\n" in COMPOSE
    assert f"CLASSROOM_PASSWORD: {PASSWORD}\n" in COMPOSE


@pytest.mark.parametrize(
    "word",
    [
        "ports:",
        "expose:",
        "privileged:",
        "network_mode:",
        "pid:",
        "ipc:",
        "devices:",
        "docker.sock",
        "version:",
        "external:",
    ],
)
def test_what_never_gets_in(word: str) -> None:
    """`version:` is among them: one of the two Compose versions complains about it, the other unless it is right."""
    lines = [line.partition(" #")[0] for line in COMPOSE.splitlines() if not line.startswith("#")]
    assert [line for line in lines if word in line] == []


def test_the_network_has_no_way_out() -> None:
    network = COMPOSE.partition("\nnetworks:\n")[2].partition("\nvolumes:\n")[0]
    assert network.startswith("  classroom:\n    internal: true\n")
    assert '      com.docker.network.bridge.inhibit_ipv4: "true"\n' in network


def test_nothing_of_the_machine_is_mounted() -> None:
    mounted = re.findall(r"volumes: (.*)", COMPOSE)
    parts = {part for each in mounted for part in json.loads(each)}
    assert parts == {"staff:/staff", "staff:/staff:ro", "handout:/handout", "handout:/handout:ro"}


def test_root_and_capabilities_are_the_daemons_needs() -> None:
    (user,) = re.findall(r"    user: (\w+)\n", COMPOSE)
    (capabilities,) = re.findall(r"    cap_add: \[(.*)\]\n", service("vsftpd"))
    assert "user:" in service("vsftpd")
    assert user == NEEDS["vsftpd"].user
    assert tuple(capabilities.split(", ")) == NEEDS["vsftpd"].capabilities
    assert NEEDS["vsftpd"].writable == ()


def test_the_class_and_the_checker_become_users_and_can_do_little_else() -> None:
    adding = {name: re.findall(r"    cap_add: \[(.*)\]\n", service(name)) for name in STAFF}
    assert adding == {
        "teacher": [],
        "class": ["SETUID, SETGID, CHOWN, SYS_CHROOT, KILL"],
        "checker": ["SETUID, SETGID, CHOWN, KILL, DAC_OVERRIDE, FOWNER"],
    }
    for name in STAFF:
        text = service(name)
        assert "    read_only: true\n" in text
        assert "    cap_drop: [ALL]\n" in text
        assert '    security_opt: ["no-new-privileges:true"]\n' in text
        assert "    networks: [classroom]\n" in text


def test_no_learner_of_a_shell_of_its_own_sees_the_roster() -> None:
    (student,) = re.findall(r"^x-student: .*\n((?:  .*\n)+)", COMPOSE, re.MULTILINE)
    assert "staff" not in student


def test_the_class_knows_all_hosts() -> None:
    script = (ROOT / "harness/images/class/class").read_text()
    (addresses,) = re.findall(r"^hosts='([^']*)'", script, re.MULTILINE)
    assert addresses.split() == [host.address for host in HOSTS.values()]


def test_only_the_door_is_published_and_only_where_the_teacher_says() -> None:
    assert re.findall(r"^    ports: (.*)$", SSH, re.MULTILINE) == [
        '["${CLASSROOM_SSH:?name the address and port for ssh, such as 192.168.1.5:2222}:2222"]'
    ]
    assert re.findall(r"^  ([a-z]+):$", SSH, re.MULTILINE) == ["door", "door"]  # the service and its network
    assert "    user: nobody\n" in SSH
    assert "    cap_drop: [ALL]\n" in SSH
    assert "volumes" not in SSH


def test_ssh_lets_in_learners_alone_and_forwards_nothing() -> None:
    settings = dict(
        line.split(" ", 1)
        for line in (ROOT / "harness/images/class/sshd_config").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert settings["PermitRootLogin"] == "no"
    assert settings["AllowGroups"] == "learners"
    assert settings["DisableForwarding"] == "yes"
    assert settings["PermitEmptyPasswords"] == "no"


def test_the_checkers_image_begins_as_the_labs() -> None:
    """Builders can then reuse those layers, and the checker's packages are the locked ones."""
    lab = (ROOT / "lab/images/lab/Dockerfile").read_text()
    checker = (ROOT / "harness/images/checker/Dockerfile").read_text()
    common = lab.partition("\nRUN export")[2].partition("# Another server, installed")[0]
    assert len(common.splitlines()) > 15
    assert common in checker


def test_the_packages_are_those_of_the_matrix() -> None:
    (packages,) = re.findall(r"        PACKAGES: (.*)\n", COMPOSE)
    assert dict(SERVERS["vsftpd"].arguments)["PACKAGES"] == packages


def test_every_base_image_can_be_named() -> None:
    bases = re.findall(r"        BASE: (.*)\n", COMPOSE)
    assert len(bases) == 8
    assert [base for base in bases if not re.fullmatch(r"\$\{[A-Z_]+:-debian:[a-z]+-slim\}", base)] == []
    assert [name for name in re.findall(r"\$\{([A-Z_]+_BASE):-", COMPOSE) if f"`{name}`" not in LESSONS] == []


def test_the_document_tells_of_every_host_and_every_student() -> None:
    assert [host.address for host in HOSTS.values() if f"| `{host.address}` |" not in LESSONS] == []
    students = re.findall(r"^  (student[a-z-]*):$", SERVICES, re.MULTILINE)
    assert re.findall(r"^\| `docker compose run --rm (student[a-z-]*)` \|", LESSONS, re.MULTILINE) == students


def test_the_client_image_trusts_nothing_of_its_own() -> None:
    """Debian's /etc/lftp.conf stays, and the classroom's scripts set nothing about TLS or certificates."""
    for path in IMAGE.iterdir():
        commands = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        assert "lftp.conf" not in commands
        assert not re.search(r"ssl:|ca-file|verify", commands)


def configured(command: list[str]) -> subprocess.CompletedProcess[str]:
    """`config` with every profile."""
    profiles = ["--profile", "student", "--profile", "openssl"]
    return subprocess.run(
        [*command, *profiles, "config", *(["--format", "json"] if command[-1] == "compose" else ["-q"])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_docker_compose_1_accepts_it_without_a_word() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose here (Debian: apt install docker-compose)")
    done = configured(["docker-compose"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_2_accepts_it_without_a_word_and_sees_what_is_meant() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Compose v2 here (a plugin of docker)")
    done = configured([docker, "compose"])
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    assert set(HOSTS) < set(services)
    for name, one in services.items():
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert list(one["networks"]) == ["classroom"], name
        assert not {"ports", "privileged", "network_mode", "devices"} & set(one), name
