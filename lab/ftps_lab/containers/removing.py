"""Remove containers and networks: our own at the end of a run, and leftovers of killed runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ftps_lab.containers.owners import LABEL_RUN, Owner
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_lab.containers.engine import Engine

_SECONDS = 20.0
"""Time limit for the engine to remove something; a container takes 0.3 s."""

_PAUSE = 0.05


def clear_leftovers(engine: Engine) -> list[str]:
    """Remove the containers and networks of runs whose process is dead, for example after SIGKILL.

    Those of a live run, of another machine, or without a known owner are left alone.

    Returns:
        The names of the removed containers and networks.

    Raises:
        LabError: The engine cannot be queried, or does not remove something.
    """
    with engine.errors("look for leftovers of earlier runs"):
        containers = engine.api.containers(all=True, filters={"label": LABEL_RUN})
        networks = engine.api.networks(filters={"label": LABEL_RUN})
    removed = []
    for each in left_behind(containers):
        remove_container(engine, each["Id"])
        removed.append(str((each.get("Names") or [each["Id"]])[0]).removeprefix("/"))
    for each in left_behind(networks):
        remove_network(engine, each["Id"])
        removed.append(str(each["Name"]))
    return removed


def left_behind(things: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The items of the engine's list whose owner is dead."""
    for each in things:
        owner = Owner.of(each.get("Labels") or {})
        if owner is not None and owner.is_dead():
            yield each


def remove_container(engine: Engine, identity: str) -> None:
    """Remove a container, running or not; no error if it is gone or already being removed.

    Raises:
        LabError: It is still there after 20 s.
    """
    from docker.errors import APIError, NotFound

    deadline = time.monotonic() + _SECONDS
    while True:
        with engine.errors(f"remove the container {identity[:12]}"):
            try:
                return engine.api.remove_container(identity, force=True, v=True)
            except NotFound:
                return None
            except APIError as error:
                # 409: the engine is already removing it because its main process has ended (auto_remove).
                if error.status_code != 409 or time.monotonic() > deadline:
                    raise
        time.sleep(_PAUSE)


def remove_network(engine: Engine, identity: str) -> None:
    """Remove a network and its remaining connections; no error if it is gone.

    Raises:
        LabError: It is still there after 20 s.
    """
    from docker.errors import APIError, NotFound

    deadline = time.monotonic() + _SECONDS
    while True:
        with engine.errors(f"remove the network {identity[:12]}"):
            try:
                return engine.api.remove_network(identity)
            except NotFound:
                return None
            except APIError as error:
                # 403: a container that is being removed is still connected.
                if error.status_code != 403:
                    raise
                if time.monotonic() > deadline:
                    raise LabError(
                        f"cannot remove the network {identity[:12]}: {error.explanation}; remove the containers on "
                        f"it (docker network inspect {identity[:12]}), then run `docker network rm {identity[:12]}`"
                    ) from error
        time.sleep(_PAUSE)
