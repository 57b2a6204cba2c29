"""The containers and networks of one run, which are removed when it ends, however it ends.

```python
engine = connect()
clear_leftovers(engine)
with Session(engine) as session:
    network = session.network("pair")
    server = session.container(ensure(engine, LAB), network=network, aliases=("example.com",), mounts=(Mount(folder),))
    host = RemoteHost(server.line, "the lab's container")
```

A container's main process reads orders from its stdin, attached here: if this process dies, stdin ends, so does the
main process, and the engine removes the container. Networks then stay behind; `clear_leftovers` removes them at the
next start.
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
"""The image's permissions of the folder decide who may write there (runc 1.1): /tmp anyone, /run root."""

_NETWORK_OPTIONS = {
    # An internal network has no route out, but without this option the host itself is on it: every service that listens
    # on all of its addresses would be reachable (measured with Docker 20.10).
    "com.docker.network.bridge.inhibit_ipv4": "true",
}

_NOWHERE = "127.0.0.1"
"""The name server for names that are not aliases: nothing listens there. By default, the engine may ask the host's."""

_NO_PATIENCE = ["timeout:1", "attempts:2"]
"""The engine does not answer such a query: it is given up after 2 s, not 10 (resolv.conf(5))."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine that a container has at the same path."""

    path: Path
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """A network without a route out."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Limits:
    """A container's resource limits.

    Attributes:
        memory: In the engine's notation, such as ``512m``.
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
        """Run a command in it and wait until it ends.

        Args:
            command: Program and arguments; no shell.
            timeout: Seconds.
            user: The user to run as; empty for the container's own.

        Raises:
            LabError: The container is gone, or the command did not end in time.
        """
        return execute(self._engine, self.id, self.name, command, timeout=timeout, user=user)

    def remove(self) -> None:
        """Remove it now; repeatable, and no error if it is already gone.

        Raises:
            LabError: The engine does not remove it.
        """
        self.line.close()
        remove_container(self._engine, self.id)


class Session:
    """Creates containers and networks, and removes them all on exit.

    Args:
        engine: The engine; the caller closes it.

    Attributes:
        run: The run's name, in the label of everything it creates.
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
            error.add_note(str(failure))  # the first error is the one that counts

    def network(self, name: str) -> Network:
        """A new network without a route out, neither to the outside nor to this machine.

        Args:
            name: For `docker network ls`.

        Raises:
            LabError: The engine refuses.
        """
        full = self._name(name)
        with self.engine.errors(f"create the network {full}"):
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

        Its file system is read-only except for /tmp, /run and the mounts. It has only the given capabilities, cannot
        gain others, and may bind any port.

        Args:
            image: The result of `ensure`.
            network: Its only network.
            name: For `docker ps`.
            aliases: Its host names on the network.
            mounts: Folders that it shares with this machine.
            user: ``UID:GID`` or a name of the image; empty for the image's own.
            capabilities: Such as ``SYS_CHROOT``.
            environment: In addition to the image's.
            command: Replaces the image's.
            limits: Its resource limits.

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
                stdin_open=True,  # closed when this process ends: the SDK sets StdinOnce too
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
        """Remove all containers, then all networks, even if some are already gone; repeatable.

        Raises:
            LabError: Something could not be removed; everything else was.
        """
        with contextlib.ExitStack() as stack:
            # Runs in reverse: each is tried even if the one before failed.
            stack.callback(self._remove_networks)
            stack.callback(self._remove_containers)
            for container in self._containers:
                stack.callback(container.line.close)
            self._containers.clear()

    def _name(self, name: str) -> str:
        self._made += 1
        return f"ftps-lab-{self.run}-{self._made}-{name}"

    def _remove_containers(self) -> None:
        """By label, which also finds a container whose creation an interrupt kept us from noticing."""
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
        # Its output is on its line; a log of the engine would store it again, tens of MiB of it.
        log_config=LogConfig(type=LogConfig.types.NONE),
    )


def _address(engine: Engine, identity: str, network: Network) -> str:
    """The address; empty if the container has already ended."""
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
    said = f"; the end of its stderr:\n{words}" if words else " and wrote nothing to stderr"
    return f"the container {container.name} ended right after its start{said}"
