"""Containers: the only part of the lab that knows the Docker SDK.

`engine` finds the Docker engine, `images` builds the images, `session` creates containers and networks and removes
them when it ends, `removing` clears leftovers of a killed run. `line` connects `ftps_lab.remote.handle` to a
container's main process, such as `ftps_lab.remote.agent`. Every failure is a LabError.
"""

from __future__ import annotations

from ftps_lab.containers.engine import Engine, connect, why_no_engine
from ftps_lab.containers.execution import Executed
from ftps_lab.containers.images import LAB, SERVERS, Image, ensure, why_no_bases
from ftps_lab.containers.removing import clear_leftovers
from ftps_lab.containers.session import Container, Limits, Mount, Network, Session

__all__ = [
    "LAB",
    "SERVERS",
    "Container",
    "Engine",
    "Executed",
    "Image",
    "Limits",
    "Mount",
    "Network",
    "Session",
    "clear_leftovers",
    "connect",
    "ensure",
    "why_no_bases",
    "why_no_engine",
]
