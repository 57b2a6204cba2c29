"""Finds text in a step that could lead lftp to another machine. Pure.

Only the kernel can keep lftp from other machines (the place `sealed`, or a guard on loopback). This check refuses the
obvious cases before they run, with the host in the message; where the kernel supports no guard, it is all that keeps a
password from leaving the machine by mistake.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.scenario import Step

_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)")
_URL = re.compile(r"\b(?:ftps?|hftp|https?|sftp|fish)://(?:[^\s/@\"';]*@)?(\[[^\]]*\]|[^\s/:\"';{}]+)", re.IGNORECASE)
_LEADING = re.compile(r"\b(?:dns:name|\w*:?proxy)\S*\s+(?:\w+://)?(\[[^\]]*\]|[^\s/:\"';]+)", re.IGNORECASE)

_RESERVED = ("example", "test", "invalid", "localhost")
"""Names below these lead nowhere (RFC 6761)."""


def leads_outside(step: Step) -> str:
    """Return the first host outside the lab that a step names; empty if it names none.

    Args:
        step: The step whose host, rc, commands and files are searched.
    """
    texts = [step.rc or "", *step.run]
    texts += [source.value for sources in step.files.values() for source in sources if source.kind == "text"]
    named = (step.host, *(host for text in texts for host in _named(text)))
    return next((host for host in named if _is_outside(host, step.host)), "")


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _named(text: str) -> Iterator[str]:
    yield from _ADDRESS.findall(text)
    for pattern in (_URL, _LEADING):
        yield from (host.strip("[]") for host in pattern.findall(text))


def _is_outside(host: str, own: str) -> bool:
    if is_address(host):
        return not ipaddress.ip_address(host).is_loopback
    name = host.rstrip(".").lower()
    return name != own.rstrip(".").lower() and "." in name and name.rpartition(".")[2] not in _RESERVED
