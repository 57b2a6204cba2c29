"""The containers and networks of one run, which are gone when it ends, whatever it ends by.

```python
engine = connect()
clear_leftovers(engine)
with Session(engine) as session:
    network = session.network("pair")
    server = session.container(ensure(engine, LAB), network=network, aliases=("example.com",), mounts=(Mount(folder),))
    host = RemoteHost(server.line, "the lab's container")
```

A container's main process reads orders from its stdin, attached here: when this process dies, stdin ends, that process
with it, and the engine removes the container. Networks stay behind then; `clear_leftovers` removes them at the next
start.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ftps_lab.containers.execution import Executed, execute
from ftps_lab.containers.line import ContainerLine
from ftps_lab.containers.owners import LABEL_RUN, Owner, new_run
from ftps_lab.containers.removing import remove_container, remove_network
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from ftps_lab.containers.engine import Engine

_TMPFS = "rw,nosuid,nodev,noexec,size=256m"
"""Who may write there is what the image says of the folder (runc 1.1): /tmp anybody, /run root."""

_NETWORK_OPTIONS = {
    # An internal network has no route out, but without this the machine itself is on it: every service that listens
    # on all of its addresses could be reached (measured with Docker 20.10).
    "com.docker.network.bridge.inhibit_ipv4": "true",
}

_NOWHERE = "127.0.0.1"
"""The name server for names that are no alias: there is none. Left to itself, the engine may ask the machine's own."""

_NO_PATIENCE = ["timeout:1", "attempts:2"]
"""The engine leaves such a question without an answer: 2 s until it is given up, not 10 (resolv.conf(5))."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine that a container sees at the same path."""

    path: Path
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """A network that leads nowhere."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use at most.

    Attributes:
        memory: In the engine's words, such as ``512m``.
        processes: Processes and threads.
    """

    memory: str = "512m"
    processes: int = 256


class Container:
    """A running container, its main process at the other end of `line`.

    Attributes:
        id: The engine's.
        name: For sentences and `docker ps`.
        line: To its main process.
        address: Its address on its network.
    """

    def __init__(self, engine: Engine, identity: str, name: str, line: ContainerLine, address: str) -> None:
        self.id = identity
        self.name = name
        self.line = line
        self.address = address
        self._engine = engine

    def run(self, command: Sequence[str], *, timeout: float = 30.0, user: str = "") -> Executed:
        """Run a command in it and wait for its end.

        Args:
            command: Program and arguments; no shell.
            timeout: Seconds.
            user: As whom; empty for the container's own user.

        Raises:
            LabError: The container is gone, or the command did not end in time.
        """
        return execute(self._engine, self.id, self.name, command, timeout=timeout, user=user)

    def remove(self) -> None:
        """End it now; repeatable, and no failure when somebody else did.

        Raises:
            LabError: The engine does not remove it.
        """
        self.line.close()
        remove_container(self._engine, self.id)


class Session:
    """Makes containers and networks, and removes them all when it is left.

    Args:
        engine: Where; the caller closes it.

    Attributes:
        run: The run's name, in the label of all that it makes.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.run = new_run()
        self._labels = {LABEL_RUN: self.run, **Owner.me().labels}
        self._containers: list[Container] = []
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except LabError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # what went wrong first is what counts

    def network(self, name: str) -> Network:
        """A new network without a way out: not to the world, not to this machine.

        Args:
            name: For `docker network ls`.

        Raises:
            LabError: The engine refuses.
        """
        full = self._name(name)
        with self.engine.errors(f"make the network {full}"):
            made = self.engine.api.create_network(
                full, driver="bridge", internal=True, options=_NETWORK_OPTIONS, labels=self._labels
            )
        return Network(made["Id"], full)

    def container(  # noqa: PLR0913 - what a container is, by name
        self,
        image: str,
        *,
        network: Network,
        name: str = "container",
        aliases: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
        user: str = "",
        capabilities: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        limits: Limits = Limits(),
    ) -> Container:
        """Start a container whose main process reads its stdin.

        It has a read-only file system but for /tmp, /run and what is mounted, no capability that is not given, no way
        to gain one, and may bind any port.

        Args:
            image: What `ensure` returned.
            network: The only one that it is on.
            name: For `docker ps`.
            aliases: Its host names on the network.
            mounts: Folders that it shares with this machine.
            user: ``UID:GID`` or a name of the image; empty for the image's own.
            capabilities: Such as ``SYS_CHROOT``.
            environment: In addition to the image's.
            command: In the place of the image's.
            limits: What it may use.

        Raises:
            LabError: The engine refuses, or the image was removed meanwhile.
        """
        full = self._name(name)
        api = self.engine.api
        with self.engine.errors(f"start the container {full}"):
            made: dict[str, Any] = api.create_container(
                image,
                list(command) if command is not None else None,
                name=full,
                user=user or None,
                environment=dict(environment or {}),
                labels=self._labels,
                stdin_open=True,  # and closed when we are gone: the SDK says StdinOnce with it
                host_config=_host_config(self.engine, mounts, capabilities, limits),
                networking_config={
                    "EndpointsConfig": {network.name: api.create_endpoint_config(aliases=list(aliases))}
                },
            )
            stream = api.attach_socket(made["Id"], params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            line = ContainerLine(stream, full)
            container = Container(self.engine, made["Id"], full, line, "")
            self._containers.append(container)
            api.start(made["Id"])
            container.address = _address(self.engine, made["Id"], network)
        if not container.address:
            raise LabError(_died(container))
        return container

    def close(self) -> None:
        """Remove all containers, then all networks, whoever removed which before; repeatable.

        Raises:
            LabError: Something could not be removed; everything else was.
        """
        with contextlib.ExitStack() as stack:
            # In reverse: each is tried whatever became of the one before.
            stack.callback(self._remove_networks)
            stack.callback(self._remove_containers)
            for container in self._containers:
                stack.callback(container.line.close)
            self._containers.clear()

    def _name(self, name: str) -> str:
        self._made += 1
        return f"ftps-lab-{self.run}-{self._made}-{name}"

    def _remove_containers(self) -> None:
        """By the label: also one that was made when an interrupt kept us from learning of it."""
        with self.engine.errors("list the run's containers"):
            found = self.engine.api.containers(all=True, filters={"label": f"{LABEL_RUN}={self.run}"})
        with contextlib.ExitStack() as stack:
            for each in found:
                stack.callback(remove_container, self.engine, each["Id"])

    def _remove_networks(self) -> None:
        with self.engine.errors("list the run's networks"):
            found = self.engine.api.networks(filters={"label": f"{LABEL_RUN}={self.run}"})
        with contextlib.ExitStack() as stack:
            for each in found:
                stack.callback(remove_network, self.engine, each["Id"])


def _host_config(engine: Engine, mounts: Sequence[Mount], capabilities: Sequence[str], limits: Limits) -> Any:
    from docker.types import LogConfig
    from docker.types import Mount as Bind

    return engine.api.create_host_config(
        auto_remove=True,
        read_only=True,
        tmpfs={"/tmp": _TMPFS, "/run": _TMPFS},  # noqa: S108 - the container's own
        mounts=[Bind(str(each.path), str(each.path), type="bind", read_only=each.read_only) for each in mounts],
        cap_drop=["ALL"],
        cap_add=list(capabilities),
        security_opt=["no-new-privileges:true"],
        pids_limit=limits.processes,
        mem_limit=limits.memory,
        memswap_limit=limits.memory,
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        dns=[_NOWHERE],
        dns_opt=_NO_PATIENCE,
        # What it says is on its line; a log of the engine would hold the same once more, tens of MiB of it.
        log_config=LogConfig(type=LogConfig.types.NONE),
    )


def _address(engine: Engine, identity: str, network: Network) -> str:
    """Empty when the container has ended already."""
    from docker.errors import NotFound

    try:
        inspected: dict[str, Any] = engine.api.inspect_container(identity)
    except NotFound:
        return ""
    networks: dict[str, dict[str, Any]] = inspected["NetworkSettings"]["Networks"]
    return str(networks.get(network.name, {}).get("IPAddress", ""))


def _died(container: Container) -> str:
    with contextlib.suppress(TimeoutError, EOFError):
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            container.line.receive(deadline - time.monotonic())
    words = container.line.last_words()
    said = f"; its last words:\n{words}" if words else " and wrote nothing to its stderr"
    return f"the container {container.name} ended as soon as it was started{said}"
