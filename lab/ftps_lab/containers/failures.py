"""Errors of the Docker engine and its SDK, as sentences that say what to do."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_SPACE = "no space left on device"

DISK_FULL = (
    "the disk of the Docker engine is full: `docker system df` shows what uses it; free space with `docker image "
    "prune` and `docker builder prune`"
)


_NO_ADDRESSES = (
    "the Docker engine has no addresses left for another network: `docker network ls` lists the networks, `docker "
    "network prune` removes unused ones"
)


@contextlib.contextmanager
def engine_errors(doing: str, where: str = "") -> Iterator[None]:
    """Convert any failure of the engine inside the block to a sentence.

    Args:
        doing: The failed action, such as ``start a container``.
        where: The engine's address.

    Raises:
        LabError: In place of the SDK's own exceptions; others pass.
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException, OSError) as error:
        raise LabError(sentence(error, doing, where)) from error


def sentence(error: BaseException, doing: str, where: str = "") -> str:
    """What happened, where, and what to do."""
    engine = f"the Docker engine at {where}" if where else "the Docker engine"
    return f"cannot {doing}: {_reason(error, engine, where or 'its socket')}"


def _reason(error: BaseException, engine: str, where: str) -> str:
    from docker.errors import APIError, ImageNotFound, NotFound

    cause = _system_error(error)
    for holds, reason in (
        (NO_SPACE in str(error).lower(), DISK_FULL),
        ("address pool" in str(error).lower(), _NO_ADDRESSES),
        (isinstance(error, ImageNotFound), "its image was removed meanwhile; run this again to rebuild it"),
        (isinstance(error, NotFound), f"it was removed during the run ({_explained(error)}); run this again"),
        (isinstance(error, APIError), f"{engine} refused: {_explained(error)}"),
        (cause is not None, _BY_NUMBER.get(cause.errno if cause else None, "").format(engine=engine, where=where)),
        (_timed_out(error), f"{engine} does not answer; wait until it is less busy, or restart it"),
    ):
        if holds and reason:
            return reason
    return f"cannot communicate with {engine}: {error}"


_INSTALL = "install one (Debian: apt install docker.io), or set DOCKER_HOST to its address"

_BY_NUMBER: dict[int | None, str] = {
    errno.ENOENT: f"there is no Docker engine at {{where}}: {_INSTALL}",
    errno.ECONNREFUSED: "nothing listens at {where}: start the Docker engine (systemctl start docker)",
    errno.EACCES: (
        "no permission for {where}: add yourself to the group docker (sudo usermod -aG docker $USER, then log in "
        "again), or run this with sudo"
    ),
    errno.ECONNRESET: "{engine} closed the connection because it restarted or crashed; run this again",
    errno.EPIPE: "{engine} closed the connection because it restarted or crashed; run this again",
}
_BY_NUMBER[errno.EPERM] = _BY_NUMBER[errno.EACCES]


def _explained(error: BaseException) -> str:
    return str(getattr(error, "explanation", "") or error).strip()


def _system_error(error: BaseException) -> OSError | None:
    """The operating system's own error, which the SDK, requests and urllib3 wrap in one another."""
    queue, seen = [error], set[int]()
    while queue:
        at = queue.pop(0)
        if id(at) in seen:
            continue
        seen.add(id(at))
        # requests' exceptions are OSErrors too, but without a number.
        if isinstance(at, OSError) and at.errno is not None:
            return at
        inside = [at.__cause__, at.__context__, *at.args, getattr(at, "reason", None)]
        queue += [each for each in inside if isinstance(each, BaseException)]
    return None


def _timed_out(error: BaseException) -> bool:
    from requests.exceptions import Timeout

    return isinstance(error, Timeout | TimeoutError) or "timed out" in str(error).lower()
