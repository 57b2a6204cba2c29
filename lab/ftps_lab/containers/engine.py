"""The Docker engine: finding it, its version, and every failure as a sentence."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_lab.containers.failures import engine_errors
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from docker import APIClient as Api

OLDEST = (1, 41)
"""The API of Docker 20.10, the oldest engine tested."""

DEFAULT_SOCKET = "unix:///var/run/docker.sock"

_SECONDS = 60
"""Time limit for the engine to answer a request."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker engine that is reachable.

    Attributes:
        api: The SDK's client; `errors` converts its exceptions to sentences.
        where: The engine's address.
        version: Such as ``20.10.24``.
    """

    api: Api
    where: str
    version: str

    def errors(self, doing: str) -> AbstractContextManager[None]:
        """Convert any failure of this engine inside the block to a LabError."""
        return engine_errors(doing, self.where)

    def close(self) -> None:
        """Close the connection."""
        self.api.close()


def connect(where: str | None = None) -> Engine:
    """The engine that DOCKER_HOST names, or the one at its usual socket.

    Args:
        where: Another address, such as ``unix:///run/user/1000/docker.sock``.

    Raises:
        LabError: No engine answers, permission is missing, the engine is too old, or the SDK is missing.
    """
    try:
        from docker import APIClient
        from docker.utils import kwargs_from_env
    except ImportError as error:
        raise LabError(
            f"the Python package docker is missing ({error}): run pip install 'docker>=7', or reinstall ftps-lab"
        ) from None
    at = where or os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET
    if at.startswith("ssh://"):
        raise LabError(
            f"DOCKER_HOST is {at}, but the lab's containers share folders with this machine, so the engine must run "
            f"here; unset it, or name a socket of this machine"
        )
    with engine_errors("reach the Docker engine", at.removeprefix("unix://")):
        _knock(at)
        environment = {**os.environ, "DOCKER_HOST": at}
        api = APIClient(timeout=_SECONDS, **kwargs_from_env(environment=environment))
        try:
            version = api.version(api_version=False)
        except BaseException:
            api.close()
            raise
    engine = Engine(api, at, str(version.get("Version", "of unknown version")))
    if too_old(str(version.get("ApiVersion", "0"))):
        engine.close()
        raise LabError(
            f"the Docker engine at {at} is too old: {engine.version}; update it to 20.10 (API 1.41) or later"
        )
    return engine


def why_no_engine(where: str | None = None) -> str:
    """Why no engine is usable, as a sentence; empty if one is."""
    try:
        connect(where).close()
    except LabError as error:
        return str(error)
    return ""


def _knock(where: str) -> None:
    """Check that a local socket has a listener: without one, the SDK leaves sockets open."""
    if where.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_SECONDS)
            door.connect(where.removeprefix("unix://"))


def too_old(version: str) -> bool:
    """Whether an engine of this API version is too old for the lab."""
    parts = version.split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts[:2]) < OLDEST
