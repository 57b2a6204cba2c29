"""Real containers: served FTPS, names, no route out, and nothing left behind however a run ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.waiting import until

from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.containers import (
    LAB,
    Container,
    Engine,
    Image,
    Mount,
    Network,
    Session,
    clear_leftovers,
    context,
    ensure,
)
from ftps_lab.containers.owners import LABEL_RUN, Owner
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.remote.handle import RemoteHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 30.0

NAME = "www.example.test"


@pytest.fixture(scope="module")
def tag(engine: Engine) -> str:
    return ensure(engine, LAB)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session
    assert remains_of(engine, session.run) == []


def remains_of(engine: Engine, run: str) -> list[str]:
    """The containers and networks of a run that exist."""
    label = {"label": f"{LABEL_RUN}={run}"}
    containers: list[dict[str, Any]] = engine.api.containers(all=True, filters=label)
    return [each["Id"] for each in containers] + [each["Id"] for each in engine.api.networks(filters=label)]


def run_python(container: Container, code: str, *arguments: str) -> Any:
    """The output of Python in a container, parsed as JSON."""
    done = container.run(["python", "-c", f"import json, sys, socket\n{code}", *arguments])
    assert done.code == 0, done.stderr.decode()
    return json.loads(done.stdout)


FETCH = """
import ftplib, hashlib, ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
got = []
with ftplib.FTP_TLS(sys.argv[1], 'anna', 'pw', context=context) as client:
    client.prot_p()
    client.retrbinary('RETR file', got.append)
    leaf = client.sock.getpeercert(binary_form=True)
print(json.dumps([hashlib.sha256(leaf).hexdigest(), b''.join(got).decode(), client.host, client.port]))
"""


def test_client_reaches_the_lab_by_name_on_port_21(session: Session, tag: str, tmp_path: Path) -> None:
    """Certificate, content, testimony and wire are those of the server in the other container."""
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("content")
    genuine = issue({"genuine": CertificateSpec()})["genuine"]
    network = session.network("pair")
    server = session.container(tag, network=network, aliases=(NAME, "example.test"), mounts=(Mount(tmp_path),))
    client = session.container(tag, network=network, command=["sh", "-c", "read order"])
    host = RemoteHost(server.line)
    assert host.ping()["OpenSSL"]
    remote = host.serve("lab", ServerSpec(certificate=genuine), root=tmp_path, password="pw")
    assert (remote.host, remote.port) == (server.address, 21)
    remote.record()

    fingerprint = genuine.sha256.replace(":", "").lower()
    assert run_python(client, FETCH, NAME) == [fingerprint, "content", NAME, 21]
    assert run_python(client, FETCH, "example.test")[0] == fingerprint
    assert remote.settle()
    testimony = remote.testimony()
    assert testimony.passwords == ["pw", "pw"]
    assert {each.peer[0] for each in testimony.connections} == {client.address}
    assert {(each.kind, each.peer) for each in remote.wire().records} == {
        (each.kind, each.peer) for each in testimony.connections
    }
    remote.stop()


CONFINEMENT = """
import os
def fails(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return True
    return False
status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)
print(json.dumps({
    'user': os.getuid(),
    'capabilities': int(status['CapBnd'], 16),
    'gains none': int(status['NoNewPrivs']) == 1,
    'root is read-only': fails(open, '/opt/x', 'w') and fails(open, '/home/lab/x', 'w'),
    'temporary files': not fails(open, '/tmp/x', 'w'),
}))
"""


def test_container_has_no_unneeded_privileges(session: Session, engine: Engine, tag: str) -> None:
    container = session.container(tag, network=session.network("confined"))
    assert run_python(container, CONFINEMENT) == {
        "user": 1000,
        "capabilities": 0,
        "gains none": True,
        "root is read-only": True,
        "temporary files": True,
    }
    assert container.run(["touch", "/run/x"], user="0").code == 0
    inspected = engine.api.inspect_container(container.id)
    assert inspected["HostConfig"]["AutoRemove"]
    assert not inspected["HostConfig"]["PortBindings"]
    assert not inspected["HostConfig"]["PublishAllPorts"]
    assert inspected["HostConfig"]["PidsLimit"] == 256
    assert inspected["HostConfig"]["Memory"] == 512 << 20
    assert Owner.of(inspected["Config"]["Labels"]) == Owner.me()
    assert inspected["Config"]["Labels"][LABEL_RUN] == session.run


REACHABLE = """
from concurrent.futures import ThreadPoolExecutor
def reaches(address):
    try:
        with socket.create_connection((address, int(sys.argv[1])), 2):
            return True
    except OSError:
        return False
with ThreadPoolExecutor() as pool:
    print(json.dumps(dict(zip(sys.argv[2:], pool.map(reaches, sys.argv[2:])))))
"""


def addresses_of_this_machine() -> list[str]:
    """All IPv4 addresses except loopback, including those of bridges and of the default route."""
    printed = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout
    return [address for address in printed.split() if ":" not in address]


def test_network_has_no_route_out(session: Session, engine: Engine, tag: str) -> None:
    """Neither to any address of this machine nor to name servers; an ordinary network is the counter-check."""
    inside = session.container(tag, network=session.network("inside"))
    made = engine.api.create_network(
        f"ftps-lab-{session.run}-ordinary", labels={LABEL_RUN: session.run, **Owner.me().labels}
    )
    ordinary = session.container(tag, network=Network(made["Id"], f"ftps-lab-{session.run}-ordinary"))
    with socket.create_server(("0.0.0.0", 0), backlog=100) as listener:  # noqa: S104 - every address is the point
        gateways = [f"{container.address.rpartition('.')[0]}.1" for container in (inside, ordinary)]
        targets = sorted({*addresses_of_this_machine(), *gateways})
        port = str(listener.getsockname()[1])
        assert targets
        assert run_python(inside, REACHABLE, port, *targets) == dict.fromkeys(targets, False)
        assert any(run_python(ordinary, REACHABLE, port, *targets).values())
    began = time.monotonic()
    done = inside.run(["python", "-c", "import socket; socket.gethostbyname('www.example.com')"])
    assert b"gaierror" in done.stderr
    assert time.monotonic() - began < 6


def test_run_returns_code_and_output_and_ends_at_its_timeout(session: Session, tag: str) -> None:
    container = session.container(tag, network=session.network("commands"))
    done = container.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    done = container.run(["python", "-c", "print('x' * 3_000_000)"])
    assert len(done.stdout) == 3_000_001
    with pytest.raises(LabError, match="it did not end within 1 seconds"):
        container.run(["sleep", "60"], timeout=1)
    assert container.run(["pgrep", "-x", "sleep"]).code != 0
    assert container.run(["no-such-program"]).code == 127
    assert container.run(["id", "-u"], user="0").stdout == b"0\n"


@pytest.mark.parametrize("ending", [RuntimeError("x"), KeyboardInterrupt()])
def test_session_removes_everything_after_an_exception(engine: Engine, tag: str, ending: BaseException) -> None:
    session = Session(engine)

    def run() -> None:
        with session:
            session.container(tag, network=session.network("n"))
            assert len(remains_of(engine, session.run)) == 2
            raise ending

    with pytest.raises(type(ending)):
        run()
    assert remains_of(engine, session.run) == []
    session.close()


def test_session_removes_a_container_interrupted_while_created(
    engine: Engine, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine made the container, but its answer never arrived."""
    make = engine.api.create_container

    def interrupted(*arguments: Any, **more: Any) -> None:
        make(*arguments, **more)
        raise KeyboardInterrupt

    session = Session(engine)
    monkeypatch.setattr(engine.api, "create_container", interrupted)
    with pytest.raises(KeyboardInterrupt), session:
        session.container(tag, network=session.network("n"))
    assert remains_of(engine, session.run) == []


HOLD_A_CONTAINER = """
import sys, time
from ftps_lab.containers import Session, connect
session = Session(connect())
session.container(sys.argv[1], network=session.network("held"))
print(session.run, flush=True)
time.sleep(600)
"""


def test_leftovers_of_a_killed_run_are_removed(engine: Engine, tag: str, session: Session) -> None:
    """Its container ends when stdin closes. Live sessions stay: ours, and another run's."""
    session.container(tag, network=session.network("living"))
    with subprocess.Popen([sys.executable, "-c", HOLD_A_CONTAINER, tag], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            run = child.stdout.readline().strip()
            clear_leftovers(engine)
            assert len(remains_of(engine, run)) == 2
            child.send_signal(signal.SIGKILL)
            child.wait(SECONDS)
        finally:
            child.kill()
    until(lambda: len(remains_of(engine, run)) == 1, SECONDS)
    removed = clear_leftovers(engine)
    assert f"ftps-lab-{run}-1-held" in removed
    assert remains_of(engine, run) == []
    assert len(remains_of(engine, session.run)) == 2
    assert not [name for name in removed if session.run in name]


def test_removed_container_is_reported_by_every_call(session: Session, engine: Engine, tag: str) -> None:
    """The session still ends cleanly: its fixture proves it."""
    network = session.network("n")
    container = session.container(tag, network=network)
    host = RemoteHost(container.line, "the lab's container")
    host.ping()
    engine.api.remove_container(container.id, force=True)
    with pytest.raises(LabError, match="the lab's container"):
        host.ping()
    with pytest.raises(LabError, match="it was removed during the run"):
        container.run(["true"])
    container.remove()
    engine.api.remove_network(network.id)
    with pytest.raises(LabError, match="cannot start the container"):
        session.container(tag, network=network)


def test_removed_image_is_reported_while_its_container_runs_on(session: Session, engine: Engine, tag: str) -> None:
    gone = f"ftps-lab/test-{session.run}:gone"
    engine.api.tag(tag, gone.removesuffix(":gone"), "gone")
    network = session.network("n")
    first = session.container(gone, network=network)
    engine.api.remove_image(gone, force=True)
    with pytest.raises(LabError, match="its image was removed meanwhile; run this again"):
        session.container(gone, network=network)
    assert RemoteHost(first.line).ping()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo no luck >&2; exit 3"], "(?s)the end of its stderr:\nno luck"),
        (["sh", "-c", "read order; echo no luck >&2; exit 3"], "(?s)the end of its stderr:\nno luck"),
        (["no-such-program"], "cannot start the container .*refused.*no-such-program"),
    ],
)
def test_dead_container_is_reported_with_its_last_output(
    session: Session, tag: str, command: list[str], words: str
) -> None:
    with pytest.raises(LabError, match=words):
        RemoteHost(session.container(tag, network=session.network("n"), command=command).line).ping()


def test_failed_build_is_reported_with_its_last_output(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile = tmp_path / "lab" / "images" / "failing" / "Dockerfile"
    dockerfile.parent.mkdir(parents=True)
    dockerfile.write_text(f"ARG BASE\nFROM ${{BASE}}\nRUN echo {tmp_path.name}: here is the reason; exit 7\n")
    monkeypatch.setattr(context, "_package", lambda: tmp_path / "lab" / "ftps_lab")
    before = {each["Id"] for each in engine.api.containers(all=True)}
    image = Image(name="failing", dockerfile="lab/images/failing/Dockerfile", base=str(LAB.base))
    with pytest.raises(
        LabError, match=r"(?s)cannot build the image failing.*returned a non-zero code: 7.*here is the reason"
    ):
        ensure(engine, image)
    mine = [each for each in engine.api.containers(all=True) if tmp_path.name in each["Command"]]
    assert [each for each in mine if each["Id"] not in before] == []


def test_missing_folder_to_mount_is_reported(session: Session, tag: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"cannot start the container .* does not exist"):
        session.container(tag, network=session.network("n"), mounts=(Mount(tmp_path / "missing"),))


def test_threads_share_an_engine(engine: Engine, tag: str) -> None:
    """Each has its own session at the same time, as in the matrix."""
    answers: list[dict[str, str]] = []

    def one() -> None:
        with Session(engine) as session:
            container = session.container(tag, network=session.network("n"))
            answers.append(RemoteHost(container.line).ping())

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert len(answers) == 3
