"""Many transfers of all sizes through the interceptor, each byte-identical on both sides.

There are 100 by default; `FTPS_LAB_LONG=1 python -m pytest tests/lab/attackers/test_attackers_volume.py -s` makes
1,000 of up to 64 MiB each, and prints its figures.
"""

from __future__ import annotations

import os
import random
import time
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ftps_lab.testimony import CAPTURED

if TYPE_CHECKING:
    from tests.lab.conftest import Lab, Mode

    from ftps_lab.servers import FtpsServer

LONG = bool(os.environ.get("FTPS_LAB_LONG"))
TRANSFERS = 1000 if LONG else 100
LARGEST = 64 << 20 if LONG else 4 << 20
BOUNDARIES = [
    edge + near
    for edge in (1 << 14, 1 << 16, 1 << 17, 1 << 20)  # a TLS record, one read, two reads, the attacker's buffer limit
    for near in (-17, -1, 0, 1, 17)
]
MODES: tuple[Mode, ...] = ("pasv", "epsv", "port", "eprt")
WAYS = [(mode, version) for mode in MODES for version in ("1.2", "1.3")]


@cache
def sizes() -> list[int]:
    """Sizes to upload and download again: those near boundaries, a few large ones, mostly small ones."""
    rng = random.Random(20_240_229)
    chosen = [0, 1, 2, 3, *BOUNDARIES, LARGEST, LARGEST - 1, LARGEST // 4, LARGEST // 16]
    while len(chosen) < TRANSFERS // 2:
        chosen.append(int(2 ** rng.uniform(0, 20)) + rng.choice((-1, 0, 1)))
    rng.shuffle(chosen)
    return chosen


def test_sizes_range_from_zero_to_largest_with_every_boundary() -> None:
    assert len(sizes()) == TRANSFERS // 2
    assert (min(sizes()), max(sizes())) == (0, LARGEST)
    assert set(BOUNDARIES) < set(sizes())


POOL = random.Random(7).randbytes(LARGEST + (1 << 16))


def content(number: int) -> bytes:
    """The content of one transfer; no two begin alike."""
    start = number * 31 % (1 << 16)
    return POOL[start : start + sizes()[number]]


@pytest.mark.long
def test_every_transfer_is_byte_identical_on_all_sides(lab: Lab) -> None:
    """After put and get, client, file, attacker and genuine server have the same bytes."""
    server = lab.serve(attack="intercept")
    began, moved = time.monotonic(), 0
    for first in range(0, TRANSFERS // 2, len(WAYS)):
        batch = range(first, min(first + len(WAYS), TRANSFERS // 2))
        for number, (mode, version) in zip(batch, WAYS, strict=False):
            client = lab.victim(server, mode=mode, version=version)
            assert client.put("up", content(number)).startswith("226")
            assert (lab.root / "up").read_bytes() == content(number)
            assert client.get("up") == content(number)
            client.quit()
            client.close()
            moved += 2 * len(content(number))
        prove_testimonies_agree(lab, server, [content(number) for number in batch for _ in "pg"])
        server.record()  # otherwise the tap would hold gigabytes
    if LONG:
        print(f"\n{TRANSFERS} transfers, {moved >> 20} MiB, {time.monotonic() - began:.1f} s")


def prove_testimonies_agree(lab: Lab, server: FtpsServer, contents: list[bytes]) -> None:
    """Check what the attacker and the genuine server recorded of the last transfers."""
    expected = [(len(it), sha256(it).hexdigest(), True) for it in contents]
    for testimony in lab.testimonies(server):
        assert [(t.size, t.sha256, t.completed) for t in testimony.transfers] == expected
    captured = [t.captured for t in server.testimony().transfers]
    assert captured == [it[:CAPTURED] for it in contents]
