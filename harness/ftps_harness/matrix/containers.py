"""One build against one server, in containers: a private network without a way out, and a shared folder.

`Stage` holds what one run of the matrix needs: the engine, the images, the folder. `Stage.open` starts a pair;
`PairPlace` is the runner's view of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ftps_harness.client import lftp, s_client
from ftps_harness.errors import HarnessError
from ftps_harness.matrix.shell import MAIN, Shell
from ftps_harness.play.places.leads import is_address
from ftps_lab import containers
from ftps_lab.containers.images import SERVERS, Image
from ftps_lab.daemons import ANONYMOUS, NEEDS, is_user, why_not
from ftps_lab.errors import LabError
from ftps_lab.interface import LAB_KIND, ServerSpec
from ftps_lab.remote.handle import RemoteHost
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.matrix.builds import Build, ServerKind
    from ftps_harness.matrix.play import MatrixRun, Pair
    from ftps_harness.sandbox import process
    from ftps_harness.sandbox.home import Home
    from ftps_harness.scenario import Scenario, Step
    from ftps_lab.interface import Server
    from ftps_lab.wire import Traffic

LFTP = Path("/usr/bin/lftp")
"""The path of lftp in every client image."""

PORT = 21

_LOOK_SECONDS = 10.0

_LOCAL = "localhost"
"""The one name that no network can redirect: each container resolves it to itself."""


class Stage:
    """Everything that one run of the matrix needs; a context manager that ends it all.

    Args:
        scenarios: The scenarios whose host names the servers get.
        say: Called with a line for each slow operation.
    """

    def __init__(self, scenarios: Iterable[Scenario], say: Callable[[str], None]) -> None:
        self._names = host_names(scenarios)
        self._say = say
        self._images: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        self._known: dict[str, Lftp] = {}
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Find the engine, and remove what a killed run has left.

        Raises:
            LabError: No engine was found, or it cannot be used.
            HarnessError: No folder can be created.
        """
        with contextlib.ExitStack() as stack:
            self._engine = containers.connect()
            stack.callback(self._engine.close)
            if left := containers.clear_leftovers(self._engine):
                self._say(f"removed what a killed run had left: {', '.join(left)}")
            self._folder = _shared_folder(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, builds: Sequence[Build], kinds: Sequence[ServerKind]) -> None:
        """Build all missing images.

        Raises:
            LabError: An image that is not optional cannot be obtained.
        """
        for kind in kinds:
            self._images[kind.name] = containers.ensure(self._engine, SERVERS[kind.name], self._say)
        for build in builds:
            try:
                self._images[build.name] = containers.ensure(self._engine, image_of(build), self._say)
            except LabError as error:
                if not build.optional:
                    raise
                self._left_out[build.name] = str(error)

    def has(self, build: Build) -> bool:
        """Whether a build has an image."""
        return build.name in self._images

    def completed(self, run: MatrixRun) -> MatrixRun:
        """Return the run, with the builds that were left out."""
        return dataclasses.replace(run, left_out=tuple(self._left_out.items()))

    @contextlib.contextmanager
    def open(self, pair: Pair) -> Iterator[OpenPair]:
        """Start the two containers of a pair, and end them.

        Raises:
            LabError: The engine refuses, or a container does not answer.
            HarnessError: The client's lftp cannot be identified.
        """
        with containers.Session(self._engine) as session:
            network = session.network(f"{pair.build.name}-{pair.kind.name}")
            folder = Path(tempfile.mkdtemp(prefix=f"{pair.build.name}-{pair.kind.name}-", dir=self._folder))
            mounts = (containers.Mount(folder),)
            needs = NEEDS.get(pair.kind.name)
            server = session.container(
                self._images[pair.kind.name],
                network=network,
                name=pair.kind.name,
                aliases=self._names,
                mounts=mounts,
                user=_me() if needs is None or needs.user != "root" else "0:0",
                capabilities=() if needs is None else needs.capabilities,
            )
            client = session.container(
                self._images[pair.build.name],
                network=network,
                name=pair.build.name,
                mounts=mounts,
                user=_me(),
                environment={"HOME": "/tmp"},  # noqa: S108 - the container's own
                command=MAIN,
            )
            host = RemoteHost(server.line, f"the container of {pair.kind.name}")
            host.ping()
            shell = Shell(client.line, folder)
            place = PairPlace(pair.kind.name, host, shell, folder, server.address)
            yield OpenPair(self._lftp(pair.build, shell, place), place, host)

    def _lftp(self, build: Build, shell: Shell, place: PairPlace) -> Lftp:
        """The build, measured once, then only adapted to other pairs."""
        with self._lock:
            if build.name not in self._known:
                check_system_rc(shell)  # first, because known builds are not checked again
                with place.deaf() as address:
                    self._known[build.name] = lftp.identify(LFTP, shell, parent=place.parent, deaf=address)
            return dataclasses.replace(self._known[build.name], start=shell)


@dataclass(frozen=True, slots=True)
class OpenPair:
    """A running pair (`ftps_harness.matrix.play.Opened`)."""

    lftp: Lftp
    place: PairPlace
    host: RemoteHost

    def check(self) -> None:
        """Raise LabError if the server's container is gone; losing the client's container is an error anyway."""
        if self.host.given_up:
            self.host.ping()


class PairPlace:
    """Where a pair's lftp and server meet (`ftps_harness.play.places.loopback.Place`).

    Args:
        kind: The kind of the server.
        host: The handle of the agent in the server's container.
        shell: Starts programs in the client's container.
        folder: The folder that both see at the same path.
        address: The server's address on their network.
    """

    def __init__(self, kind: str, host: RemoteHost, shell: Shell, folder: Path, address: str) -> None:
        self.name = "containers"
        self.parent: Path | None = folder
        self.inside: Path | None = None
        self._kind = kind
        self._host = host
        self._shell = shell
        self._address = address

    def client(self, client: Lftp, home: Home) -> Lftp:  # noqa: ARG002 - the protocol's
        """The client unchanged: `Stage.open` set where it starts."""
        return client

    def starter(self, home: Home) -> process.Starter:  # noqa: ARG002 - the protocol's
        """Starts programs in the client's container."""
        return self._shell

    def watch(self) -> None:
        """Does nothing: the server's relay and tap see what reaches it, and no other traffic is visible."""

    def traffic(self) -> Traffic | None:
        """None: traffic that does not reach the server is not visible."""
        return None

    def refused(self) -> Sequence[str]:
        """Nothing: attempts to reach other machines are not visible."""
        return ()

    def same_server(self, host: str, other: str) -> bool:  # noqa: ARG002 - the protocol's
        """Always true: the pair has one server."""
        return True

    def why_not(self, spec: ServerSpec, host: str, user: str | None) -> str:
        """The network assigns addresses, and a daemon does not support everything that the lab's own server does."""
        if is_address(host):
            return f"the host is an address, {host}, but in containers the network assigns the addresses"
        if self._kind == LAB_KIND:  # supports every scenario
            return ""
        if user == "anonymous" and self._kind not in ANONYMOUS:
            return f"{self._kind} accepts no login without a password here"
        if user is not None and not is_user(user):
            return f"{self._kind} cannot have a user named {user!r} here"
        return why_not(self._kind, spec)

    def refuses(self, step: Step) -> str:  # noqa: ARG002 - the protocol's
        """Always empty: the network has no way out."""
        return ""

    def serve(
        self,
        spec: ServerSpec,
        *,
        root: os.PathLike[str],
        password: str,
        users: Sequence[str] = (),
        port: int = PORT,
        host: str = "localhost",  # noqa: ARG002 - the network resolves the names
    ) -> Server:
        """Start the server in its container.

        Raises:
            LabError: It does not start.
        """
        return self._host.serve(self._kind, spec, root=root, password=password, users=users, port=port or PORT)

    def address_of(self, host: str) -> str | None:
        """The network resolves all names but ``localhost``, which needs the server's address."""
        return self._address if host.lower() == _LOCAL else None

    def prefix(self) -> Sequence[str]:
        """Empty: `Stage` has checked the image's /etc/lftp.conf."""
        return ()

    def fetch(self, server: Server, protocol: Literal["explicit", "implicit"]) -> bytes:
        """Fetch with the client container's openssl.

        Raises:
            HarnessError: It returned no certificate.
        """
        fetched = s_client.fetch(server.host, server.port, protocol=protocol, start=self._shell, parent=self.parent)
        return fetched.leaf

    @contextlib.contextmanager
    def deaf(self) -> Iterator[tuple[str, int]]:
        """Run a server that does not speak TLS, and yield its address."""
        assert self.parent is not None
        with tempfile.TemporaryDirectory(dir=self.parent) as root:
            server = self._host.serve(LAB_KIND, ServerSpec(protocol="plain"), root=root, password="", users=())
            try:
                yield server.host, server.port
            finally:
                server.stop()


def image_of(build: Build) -> Image:
    """The image of a build, and how to build it."""
    folder = f"harness/images/{build.image}"
    paths = tuple(dict.fromkeys(("harness/images/lftp", folder)))
    return Image(name=f"lftp-{build.name}", dockerfile=f"{folder}/Dockerfile", base=build.base, paths=paths)


def host_names(scenarios: Iterable[Scenario]) -> tuple[str, ...]:
    """Every host name in a step, as typed and in lower case: the engine's name server is case-sensitive."""
    hosts = {step.host for scenario in scenarios for step in scenario.steps if not is_address(step.host)}
    return tuple(sorted({name for host in hosts for name in (host, host.lower())} - {_LOCAL}))


def _me() -> str:
    """The current user: both containers share files with us, and need no right that we lack."""
    return f"{os.getuid()}:{os.getgid()}"


def _shared_folder(stack: contextlib.ExitStack) -> Path:
    try:
        return stack.enter_context(Folder("matrix")).path
    except OSError as error:
        raise HarnessError(
            f"cannot make a folder to share with containers: {error.strerror}; free disk space, or set TMPDIR"
        ) from error


def check_system_rc(start: process.Starter) -> None:
    """Check that the image's /etc/lftp.conf does not affect trust: that would change every verdict, unavoidably.

    Raises:
        HarnessError: It does, or cannot be read.
    """
    look = f"if [ -e {lftp.SYSTEM_RC} ]; then cat {lftp.SYSTEM_RC}; fi"
    done = start(["/bin/sh", "-c", look], env={}, cwd=Path("/"), timeout=_LOOK_SECONDS)
    if done.exit_code != 0 or done.truncated:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.exit_code}"
        raise HarnessError(f"the client image's {lftp.SYSTEM_RC} cannot be read, and may affect trust: {said}")
    if lines := lftp.lines_that_touch_trust(done.stdout.decode("utf-8", "replace")):
        named = "; ".join(f"line {number}: {line}" for number, line in lines)
        raise HarnessError(f"the client image's {lftp.SYSTEM_RC} affects trust ({named}): remove these lines from it")
