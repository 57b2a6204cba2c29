"""Ways to break the evidence behind a verdict, shared by the sabotage tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ftps_harness.play.places.loopback import Loopback
from ftps_lab.server.data import LabData
from ftps_lab.servers import FtpsServer
from ftps_lab.testimony import Testimony, Wire

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tests.harness.conftest import Play

    from ftps_harness.play.runner import ScenarioResult
    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import WireRecord

ACCEPTED = 'verdict = "accepted"'
REJECTED = 'verdict = "rejected"\nreason = "untrusted"'
EXPECTED = {"accepted": ACCEPTED, "rejected": REJECTED}
EXPOSED = 'verdict = "exposed"'
LOGIN_FAILED = 'verdict = "login-failed"'
ONLY_LIST = 'run = ["list"]'
NO_CONTROL = '\ncontrol = "none"\nwhy_no_control = "sabotage"\n'

LISTINGS = {"LIST", "NLST", "MLSD"}
"""Commands for which a daemon's log holds no hash."""


class PlaceWith(Loopback):
    """A place that runs another class of server; `more` holds keywords for it."""

    def __init__(self, kind: type[FtpsServer], **more: Any) -> None:
        super().__init__()
        self._kind = kind
        self._more = more

    def serve(self, spec: ServerSpec, *, root: os.PathLike[str], password: str, port: int = 0, **_: Any) -> FtpsServer:
        return self._kind(spec, root=root, password=password, port=port, **self._more).start()


def falsified(name: str, lie: Callable[[Any], Any], kind: type[FtpsServer] = FtpsServer) -> PlaceWith:
    """A place whose servers give one false answer: `lie` changes the true one."""
    return falsified_all({name: lie}, kind)


def falsified_all(lies: dict[str, Callable[[Any], Any]], kind: type[FtpsServer] = FtpsServer) -> PlaceWith:
    """A place whose servers give several false answers."""

    def liar(name: str, lie: Callable[[Any], Any]) -> Any:
        return lambda self, *arguments: lie(getattr(kind, name)(self, *arguments))

    return PlaceWith(type("Lying", (kind,), {name: liar(name, lie) for name, lie in lies.items()}))


def change_records(change: Callable[[WireRecord], WireRecord | None]) -> Callable[[Wire], Wire]:
    """Change or drop the record of each connection on the wire."""
    return lambda wire: Wire(tuple(changed for record in wire.records if (changed := change(record)) is not None))


class TruncatingData(LabData):
    """Drops the last 20 bytes of every send and reports success."""

    def send(self, data: bytes) -> int:
        super().send(data[:-20])
        return len(data)


class Daemon(FtpsServer):
    """A server of the lab with a daemon's testimony: without the facts that a daemon cannot know."""

    def testimony(self) -> Testimony:
        known = super().testimony()
        return replace(
            known,
            sources=("log", "files", "relay"),
            credentials=tuple(c if c.accepted else replace(c, password=None) for c in known.credentials),
            transfers=tuple(replace(t, sha256="") if t.verb in LISTINGS else t for t in known.transfers),
        )


def forget(**fields: Callable[[Any], bool]) -> Callable[[Testimony], Testimony]:
    """Drop the entries of testimony that a predicate matches."""

    def lost(testimony: Testimony) -> Testimony:
        left: dict[str, Any] = {
            name: tuple(entry for entry in getattr(testimony, name) if not gone(entry)) for name, gone in fields.items()
        }
        return replace(testimony, **left)

    return lost


def alter(name: str, **values: Any) -> Callable[[Testimony], Testimony]:
    """Set values in every entry of one field of testimony."""

    def altered(testimony: Testimony) -> Testimony:
        other: dict[str, Any] = {name: tuple(replace(entry, **values) for entry in getattr(testimony, name))}
        return replace(testimony, **other)

    return altered


def everything(_: object) -> bool:
    return True


def in_tls(entry: Any) -> bool:
    return bool(entry.channel == "tls")


def is_data(entry: Any) -> bool:
    return bool(entry.kind == "data")


def verdict(result: ScenarioResult, step: int = 0) -> str:
    return result.steps[step].attempts[0].outcome.verdict


def contradictions(result: ScenarioResult, step: int = 0) -> str:
    return "\n".join(result.steps[step].attempts[0].outcome.contradictions)


def baseline(play: Play, expected: str, keys: str = "", **options: Any) -> ScenarioResult:
    """Play the step that passes without sabotage: pinned and accepted, or not pinned and rejected."""
    rc = None if expected == "accepted" else ""
    return play(play.step(EXPECTED[expected], rc=rc, keys=keys), **options)
