"""`make bench`: ratios measured in one run, because machines are noisy and absolute times mean little.

Each figure says what it compares, the limit that the project holds itself to, and the measured value.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_figure import Figure
from bench_matrix import warm_cells

from ftps_harness import lftp, material
from ftps_harness.attempt import Request, Scene, attempt
from ftps_harness.home import Home
from ftps_harness.scenario import catalogue, load, substitute
from ftps_harness.scenario.files import place
from ftps_harness.secrets import Secrets
from ftps_harness.tasks import errands, populate
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.handlers import Doorman
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # asyncore, on Python 3.11
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ftps_harness.lftp import Lftp
    from ftps_harness.scenario import Scenario

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Line:
    """One step's lftp command line, everything that it needs prepared."""

    script: tuple[str, ...]
    home: Home
    cwd: Any
    password: str


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (default 5)")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the leak check (default 1000)")
    options = parser.parse_args()
    client = lftp.identify(lftp.find())
    scenarios = [load(path) for path in catalogue(ROOT / "scenarios").values() if path.parent.name == "document"]
    print(f"lftp {client.version}, {client.tls}; {len(scenarios)} scenarios, medians of {options.rounds} rounds\n")
    for figures in (
        lambda: catalogue_against_bare(client, scenarios, options.rounds),
        lambda: servers(options.rounds),
        lambda: interceptor(client, options.rounds),
        lambda: warm_cells(client, scenarios, min(options.rounds, 3)),
        lambda: start_up(options.rounds),
        lambda: leaks(client, options.steps),
    ):
        for figure in figures():
            print(figure, flush=True)


def catalogue_against_bare(client: Lftp, scenarios: list[Scenario], rounds: int) -> Iterator[Figure]:
    """The catalogue as `run` does it, against the same lftp command lines with nothing around them."""
    ways: dict[str, Callable[[], float]] = {
        "run -j 1 --no-controls": lambda: _timed(lambda: _run_all(client, 1, controls=False)),
        "bare, the lab's servers": lambda: _bare(client, scenarios, stock=False),
        "bare, stock pyftpdlib": lambda: _bare(client, scenarios, stock=True),
        "run -j 2 --no-controls": lambda: _timed(lambda: _run_all(client, 2, controls=False)),
        "run -j 1": lambda: _timed(lambda: _run_all(client, 1, controls=True)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # warm
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(way())
    for name in ways:
        yield Figure(f"catalogue, {name}", statistics.median(times[name]), "s")

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))

    first = "run -j 1 --no-controls"
    yield Figure(f"{first} / bare lftp, the lab's own servers up", ratio(first, "bare, the lab's servers"), "x", 1.5)
    yield Figure(f"{first} / bare lftp, stock pyftpdlib up", ratio(first, "bare, stock pyftpdlib"), "x", 0.5)
    yield Figure("-j 2 / -j 1", ratio("run -j 2 --no-controls", first), "x")
    yield Figure("with controls / without", ratio("run -j 1", first), "x")


def _timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _run_all(client: Lftp, jobs: int, *, controls: bool) -> None:
    """The whole command, its start included."""
    command = [sys.executable, "-m", "ftps_harness", "run", "document", "--lftp", str(client.path), "-j", str(jobs)]
    done = subprocess.run(
        [*command, *([] if controls else ["--no-controls"])], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if done.returncode != 0:
        print(f"  (exit code {done.returncode}, so the figures mean little: {done.stdout[-300:]})", file=sys.stderr)


def _bare(client: Lftp, scenarios: list[Scenario], *, stock: bool) -> float:
    """Only lftp is timed: servers, files and rc are there before."""
    total = 0.0
    for scenario in scenarios:
        with contextlib.ExitStack() as stack:
            lines = _prepared(scenario, stack, stock=stock)
            for line in lines:
                began = time.perf_counter()
                _lftp(client, line)
                total += time.perf_counter() - began
    return total


def _lftp(client: Lftp, line: Line) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(line.home.home), "LC_ALL": "C", "TERM": "dumb"}
    environment["LFTP_PASSWORD"] = line.password
    subprocess.run(
        [str(client.path), "-c", "\n".join(line.script)],
        env=environment,
        cwd=line.home.folder(line.cwd),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


def _prepared(scenario: Scenario, stack: contextlib.ExitStack, *, stock: bool) -> list[Line]:
    """One server and one HOME for each step, up and written before the clock runs."""
    issued = material.Material(scenario)
    lines = []
    files: dict[str, bytes] = {}
    rc = ""
    for step in scenario.steps:
        secrets = Secrets.new()
        spec = issued.server(step.server)
        pem = spec.certificate.pem if spec.certificate else b""
        for name, sources in step.files.items():
            files[name] = issued.content(sources, step.server, lambda pem=pem: pem)
        rc = rc if step.rc is None else step.rc
        port = _served(spec, secrets, stack, stock=stock)
        home = stack.enter_context(Home())
        for name, content in files.items():
            folder, plain_name = place(name, step.cwd)
            home.put_file(plain_name, content, folder=folder)
        home.write_rc(substitute(rc, issued.placeholders(home.dot_lftp, step.host, port)))
        home.put_upload(secrets.upload_name, secrets.upload_content)
        script = (
            *lftp.settings_of_ours(step.host),
            lftp.open_command(spec.protocol, step.host, port, step.user or secrets.user),
            *(errand.command() for errand in errands(step.run, secrets, home.downloads, home.uploads)),
        )
        lines.append(Line(script, home, step.cwd, step.password or secrets.password))
    return lines


def _served(spec: ServerSpec, secrets: Secrets, stack: contextlib.ExitStack, *, stock: bool) -> int:
    """The port of a server that runs until the stack is left."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    populate(root, secrets)
    # pyftpdlib has no implicit FTPS: the lab's own stands in, on both sides of the comparison.
    if stock and spec.protocol != "implicit":
        return _stock(spec, root, secrets, stack).port
    return stack.enter_context(FtpsServer(spec, root=root, password=secrets.password)).port


class _Stock:
    """pyftpdlib as it comes, in a thread."""

    def __init__(self, handler: type, ioloop: Any) -> None:
        self._ioloop = ioloop
        self._ftpd = FTPServer(("127.0.0.1", 0), handler, ioloop=ioloop)
        self.port: int = self._ftpd.address[1]
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopping:
            self._ioloop.loop(0.05, blocking=False)
        self._ioloop.close()

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()


def _stock(spec: ServerSpec, root: Path, secrets: Secrets, stack: contextlib.ExitStack) -> _Stock:
    names: dict[str, Any] = {"authorizer": Doorman(str(root.resolve()), secrets.password)}
    base: type = FTPHandler
    if spec.certificate is not None and spec.protocol != "plain":
        base = TLS_FTPHandler
        pem = root.parent / f"{root.name}.pem"
        pem.write_bytes(spec.certificate.key_pem + spec.certificate.pem + b"".join(c.pem for c in spec.chain))
        stack.callback(pem.unlink)
        names |= {"certfile": str(pem), "tls_control_required": spec.require_tls}
    server = _Stock(type("Handler", (base,), names), IOLoop())
    stack.callback(server.stop)
    return server


def servers(rounds: int) -> Iterator[Figure]:
    """Issuing and readiness."""
    with tempfile.TemporaryDirectory() as root:
        singles = []
        for _ in range(rounds * 10):
            began = time.perf_counter()
            server = FtpsServer(ServerSpec(certificate=issue({"a": CertificateSpec()})["a"]), root=root, password="x")
            server.start()
            singles.append((time.perf_counter() - began) * 1000)
            server.stop()
        yield Figure("a P-256 certificate issued and its server ready, median", statistics.median(singles), "ms", 5)
        hundreds = []
        for _ in range(rounds):
            began = time.perf_counter()
            with contextlib.ExitStack() as stack:
                for _ in range(100):
                    spec = ServerSpec(certificate=issue({"a": CertificateSpec()})["a"])
                    stack.enter_context(FtpsServer(spec, root=root, password="x"))
            hundreds.append(time.perf_counter() - began)
        yield Figure("a hundred servers up and down, median", statistics.median(hundreds), "s", 1)


def interceptor(client: Lftp, rounds: int) -> Iterator[Figure]:
    """The same transfers by the same lftp, straight to the server and through the interceptor in front of it."""
    mib = 64
    certificate = issue({"a": CertificateSpec()})["a"]
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        large = root / "large"
        large.write_bytes(os.urandom(mib << 20))
        home = stack.enter_context(Home())
        servers = {
            attack: stack.enter_context(
                FtpsServer(ServerSpec(certificate=certificate, attack=attack), root=root, password="x")
            )
            for attack in ("none", "intercept")
        }
        asked = {
            f"a download of {mib} MiB": "cat large > /dev/null",
            f"an upload of {mib} MiB": f"put {large} -o up",
            "a listing": "ls",
        }
        for what, command in asked.items():
            ratios = []
            for _ in range(rounds):
                straight, through = (_transfer(client, home, servers[way], command) for way in ("none", "intercept"))
                ratios.append(through / straight)
            yield Figure(f"{what}, through the interceptor / straight to the server", statistics.median(ratios), "x")


def _transfer(client: Lftp, home: Home, server: FtpsServer, command: str) -> float:
    """The seconds that lftp takes for one command that transfers something."""
    script = (
        *lftp.settings_of_ours("localhost"),
        "command set ssl:verify-certificate no",
        lftp.open_command("explicit", "localhost", server.port, "somebody"),
        command,
    )
    server.record()  # what was witnessed would pile up
    seconds = _timed(lambda: _lftp(client, Line(script, home, "home", "x")))
    server.settle()
    if not any(transfer.completed and transfer.size for transfer in server.testimony().transfers):
        raise SystemExit(f"this did not come about: {command}")
    return seconds


def start_up(rounds: int) -> Iterator[Figure]:
    """What one waits for before anything happens."""
    python = sys.executable
    commands = {
        "import click": [python, "-c", "import click"],
        "list": [python, "-m", "ftps_harness", "list"],
        "--help": [python, "-m", "ftps_harness", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for index in range(rounds * 2 + 1):
        for name, command in commands.items():
            took = _timed(lambda command=command: subprocess.run(command, capture_output=True, check=True, cwd=ROOT))
            if index:
                times[name].append(took)
    for name in ("list", "--help"):
        ratio = statistics.median(a / b for a, b in zip(times[name], times["import click"], strict=True))
        yield Figure(f"ftps-lab {name} / python -c 'import click'", ratio, "x", 3)


def leaks(client: Lftp, steps: int) -> Iterator[Figure]:
    """Threads, descriptors and temporary files before and after many steps in one process; peak memory."""
    with tempfile.TemporaryDirectory() as root, Home() as home:
        secrets = Secrets.new()
        populate(Path(root), secrets)
        spec = ServerSpec(certificate=issue({"a": CertificateSpec()})["a"])
        assert spec.certificate is not None
        pin = home.put_file("pin.crt", spec.certificate.pem)
        request = Request(rc=f'set ssl:ca-file "{pin}"\n', run=("get",))
        before: tuple[int, int, int] | None = None
        for index in range(steps + 1):
            with FtpsServer(spec, root=root, password=secrets.password) as server:
                attempt(Scene(client, home, server, Path(root), secrets), spec, request)
            if index == 0:  # what is loaded once is no leak
                before = _counts()
    gc.collect()
    after = _counts()
    assert before is not None
    for name, one, other in zip(("threads", "descriptors", "temporary files"), before, after, strict=True):
        yield Figure(f"{name} after {steps} steps, more than before", max(0, other - one), "", 0)
    yield Figure("peak memory of this whole run", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB")


def _counts() -> tuple[int, int, int]:
    temporary = [entry for entry in os.listdir(tempfile.gettempdir()) if entry.startswith("ftps-lab-")]
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(temporary)


if __name__ == "__main__":
    main()
