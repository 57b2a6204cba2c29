"""The Docker engine: found, asked for its version, and every failure a sentence."""

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
"""The API of Docker 20.10, the oldest engine that this was run with."""

DEFAULT_SOCKET = "unix:///var/run/docker.sock"

_SECONDS = 60
"""How long the engine may take to answer a request."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker engine that answers.

    Attributes:
        api: The SDK's client; its exceptions are to be turned into sentences by `told`.
        where: The engine's address.
        version: Such as ``20.10.24``.
    """

    api: Api
    where: str
    version: str

    def errors(self, doing: str) -> AbstractContextManager[None]:
        """Whatever fails with this engine in here is a LabError that says so."""
        return engine_errors(doing, self.where)

    def close(self) -> None:
        """Hang up."""
        self.api.close()


def connect(where: str | None = None) -> Engine:
    """The engine that DOCKER_HOST names, or the one at its usual socket.

    Args:
        where: Another address, such as ``unix:///run/user/1000/docker.sock``.

    Raises:
        LabError: There is none, or no permission, or it is too old, or the SDK is missing.
    """
    try:
        from docker import APIClient
        from docker.utils import kwargs_from_env
    except ImportError as error:
        raise LabError(
            f"the Python package docker is missing ({error}): pip install 'docker>=7', or install ftps-lab anew"
        ) from None
    at = where or os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET
    if at.startswith("ssh://"):
        raise LabError(
            f"DOCKER_HOST is {at}: containers of the lab share folders with this machine, so that the engine must run "
            "here; unset it, or name a socket of this machine"
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
            f"the Docker engine at {at} is {engine.version} and too old: 20.10 (API 1.41) is the oldest that the lab "
            "can use; update it"
        )
    return engine


def why_no_engine(where: str | None = None) -> str:
    """Why there is no engine to use, as a sentence; empty if there is one."""
    try:
        connect(where).close()
    except LabError as error:
        return str(error)
    return ""


def _knock(where: str) -> None:
    """Ask a socket of this machine whether anybody is there: when not, the SDK leaves sockets open."""
    if where.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_SECONDS)
            door.connect(where.removeprefix("unix://"))


def too_old(version: str) -> bool:
    """Whether an engine of this API version is too old for us."""
    parts = version.split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts[:2]) < OLDEST
