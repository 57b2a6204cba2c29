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


def test_services_match_the_table_of_hosts() -> None:
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
def test_dangerous_or_obsolete_key_is_absent(word: str) -> None:
    """`version:` is obsolete: Compose 2 warns about it, and Compose 1 accepts only certain values."""
    lines = [line.partition(" #")[0] for line in COMPOSE.splitlines() if not line.startswith("#")]
    assert [line for line in lines if word in line] == []


def test_network_is_internal_without_a_gateway() -> None:
    network = COMPOSE.partition("\nnetworks:\n")[2].partition("\nvolumes:\n")[0]
    assert network.startswith("  classroom:\n    internal: true\n")
    assert '      com.docker.network.bridge.inhibit_ipv4: "true"\n' in network


def test_only_named_volumes_are_mounted() -> None:
    mounted = re.findall(r"volumes: (.*)", COMPOSE)
    parts = {part for each in mounted for part in json.loads(each)}
    assert parts == {"staff:/staff", "staff:/staff:ro", "handout:/handout", "handout:/handout:ro"}


def test_root_and_capabilities_match_the_needs_of_vsftpd() -> None:
    (user,) = re.findall(r"    user: (\w+)\n", COMPOSE)
    (capabilities,) = re.findall(r"    cap_add: \[(.*)\]\n", service("vsftpd"))
    assert "user:" in service("vsftpd")
    assert user == NEEDS["vsftpd"].user
    assert tuple(capabilities.split(", ")) == NEEDS["vsftpd"].capabilities
    assert NEEDS["vsftpd"].writable == ()


def test_staff_services_have_minimal_capabilities() -> None:
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


def test_student_service_does_not_mount_the_staff_volume() -> None:
    (student,) = re.findall(r"^x-student: .*\n((?:  .*\n)+)", COMPOSE, re.MULTILINE)
    assert "staff" not in student


def test_class_script_knows_all_hosts() -> None:
    script = (ROOT / "harness/images/class/class").read_text()
    (addresses,) = re.findall(r"^hosts='([^']*)'", script, re.MULTILINE)
    assert addresses.split() == [host.address for host in HOSTS.values()]


def test_only_ssh_is_published_at_the_address_that_the_teacher_names() -> None:
    assert re.findall(r"^    ports: (.*)$", SSH, re.MULTILINE) == [
        '["${CLASSROOM_SSH:?name the address and port for ssh, such as 192.168.1.5:2222}:2222"]'
    ]
    assert re.findall(r"^  ([a-z]+):$", SSH, re.MULTILINE) == ["door", "door"]  # the service and its network
    assert "    user: nobody\n" in SSH
    assert "    cap_drop: [ALL]\n" in SSH
    assert "volumes" not in SSH


def test_sshd_admits_only_learners_and_forwards_nothing() -> None:
    settings = dict(
        line.split(" ", 1)
        for line in (ROOT / "harness/images/class/sshd_config").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert settings["PermitRootLogin"] == "no"
    assert settings["AllowGroups"] == "learners"
    assert settings["DisableForwarding"] == "yes"
    assert settings["PermitEmptyPasswords"] == "no"


def test_checker_image_shares_the_first_layers_of_the_lab_image() -> None:
    """Builders can then reuse those layers, and the checker has the locked packages."""
    lab = (ROOT / "lab/images/lab/Dockerfile").read_text()
    checker = (ROOT / "harness/images/checker/Dockerfile").read_text()
    common = lab.partition("\nRUN export")[2].partition("# Another server, installed")[0]
    assert len(common.splitlines()) > 15
    assert common in checker


def test_packages_match_those_of_the_matrix() -> None:
    (packages,) = re.findall(r"        PACKAGES: (.*)\n", COMPOSE)
    assert dict(SERVERS["vsftpd"].arguments)["PACKAGES"] == packages


def test_every_base_image_has_a_documented_variable() -> None:
    bases = re.findall(r"        BASE: (.*)\n", COMPOSE)
    assert len(bases) == 8
    assert [base for base in bases if not re.fullmatch(r"\$\{[A-Z_]+:-debian:[a-z]+-slim\}", base)] == []
    assert [name for name in re.findall(r"\$\{([A-Z_]+_BASE):-", COMPOSE) if f"`{name}`" not in LESSONS] == []


def test_document_lists_every_host_and_every_student_service() -> None:
    assert [host.address for host in HOSTS.values() if f"| `{host.address}` |" not in LESSONS] == []
    students = re.findall(r"^  (student[a-z-]*):$", SERVICES, re.MULTILINE)
    assert re.findall(r"^\| `docker compose run --rm (student[a-z-]*)` \|", LESSONS, re.MULTILINE) == students


def test_client_image_does_not_change_trust() -> None:
    """Debian's /etc/lftp.conf stays, and the classroom's scripts set nothing about TLS or certificates."""
    for path in IMAGE.iterdir():
        commands = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        assert "lftp.conf" not in commands
        assert not re.search(r"ssl:|ca-file|verify", commands)


def compose_config(command: list[str]) -> subprocess.CompletedProcess[str]:
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


def test_compose_1_accepts_the_file_without_warnings() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose here (Debian: apt install docker-compose)")
    done = compose_config(["docker-compose"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_2_accepts_the_file_and_every_service_is_confined() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Compose v2 here (a plugin of docker)")
    done = compose_config([docker, "compose"])
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    assert set(HOSTS) < set(services)
    for name, one in services.items():
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert list(one["networks"]) == ["classroom"], name
        assert not {"ports", "privileged", "network_mode", "devices"} & set(one), name
