"""Plays acts in the sealed place, and turns the evidence of client, server and wire into parts."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from ftps_harness.client import messages
from ftps_harness.errors import HarnessError
from ftps_harness.play.program import Command
from ftps_harness.play.session import Session
from ftps_harness.report.account import server_section
from ftps_harness.report.plain import harmless, lines_of, plural
from ftps_harness.sandbox.secrets import Secrets
from ftps_harness.teach.demo.chapters import HOST, PIN, Certificates, Claim, claims_nothing
from ftps_harness.teach.demo.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.play.program import Observed
    from ftps_harness.teach.demo.chapters import Act
    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import WireRecord

USER: Final = "alice"
PASSWORD: Final = "sunflower7"  # noqa: S105 - made up, so that an audience recognizes it

_COMMANDS: Final = "set net:max-retries 1; ls; bye"
_ROUTINE: Final = re.compile(
    r"    (clear|tls  )  \d+  (FEAT|OPTS|PWD|PASV|QUIT|PBSZ|TYPE|SYST)\b|    TLS alert .*close_notify"
)

_DETAIL: Final = re.compile(r", 220 sent|, the attacker did: .*|, complete$")

_SECONDS: Final = 20.0
_WIDTH: Final = 16
"""Bytes per line of a dump."""
_AROUND: Final = 3
"""Maximum number of lines of a dump."""


_NOWHERE: Final = f"{PASSWORD!r} is nowhere in it, in clear or encoded."


class Stage:
    """One place, one server at a time, one HOME. A context manager.

    Args:
        place: Where it runs, for its exclusive use.
        client: The lftp to run.

    Attributes:
        wrong: Where the evidence disagreed with what a chapter says, a sentence each.
    """

    def __init__(self, place: Sealed, client: Lftp) -> None:
        self._client = client
        self._place = place
        self._certificates = Certificates.new()
        self.wrong: list[str] = []
        secrets = replace(Secrets.new(), user=USER, password=PASSWORD)
        self._stack = contextlib.ExitStack()
        self._session = self._stack.enter_context(Session(place, client, secrets=secrets))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, act: Act) -> Iterator[Part]:
        """Play one act: yield what is typed, what is printed, and what others see.

        Raises:
            LabError: The server failed.
            HarnessError: lftp or openssl cannot be started.
        """
        if act.says:
            yield Part("text", (act.says,))
        spec = act.server(self._certificates)
        self._session.serve(spec, host=HOST)
        if act.fetches:
            yield from self._fetch()
            return
        yield from self._prepare(act)
        argv = (str(self._client.path), "-u", f"{USER},{PASSWORD}", "-e", _COMMANDS, HOST)
        yield Part("typed", (shlex.join(("lftp", *argv[1:])),), pause=True)
        seen = self._session.observe(Command(argv=argv, host=HOST, timeout=_SECONDS))
        yield from _printed(seen)
        yield from _server(seen, spec)
        yield _wire(seen)
        yield from self._checked(act.claim, seen, spec)

    def _prepare(self, act: Act) -> Iterator[Part]:
        """Write the rc and the pin, and show the rc."""
        home = self._session.home
        for name in ("rc", PIN):
            (home.dot_lftp / name).unlink(missing_ok=True)
        if act.pin is not None:
            home.put_file(PIN, act.pin(self._certificates).pem)
        if act.rc is not None:
            home.write_rc(act.rc)
            yield Part("typed", ("cat ~/.lftp/rc",))
            yield Part("output", lines_of(act.rc))

    def _fetch(self) -> Iterator[Part]:
        """Show the document's own command and its output."""
        openssl = shutil.which("openssl")
        if openssl is None:
            raise HarnessError("no openssl on PATH, which fetches certificates: apt install openssl")
        argv = (openssl, "s_client", "-showcerts", "-connect", f"{HOST}:21", "-starttls", "ftp")
        yield Part("typed", (shlex.join(("openssl", *argv[1:])),), pause=True)
        seen = self._session.observe(Command(argv=argv, host=HOST, timeout=_SECONDS))
        lines = lines_of(seen.run.stdout)
        first = next((n for n, line in enumerate(lines) if "BEGIN CERTIFICATE" in line), 0)
        last = next((n for n, line in enumerate(lines) if "END CERTIFICATE" in line), len(lines))
        yield Part("output", ("…", *lines[max(0, first - 3) : last + 1], "…"))
        own = self._certificates.genuine
        fetched = own.pem.decode("ascii").split() == " ".join(lines[first : last + 1]).split()
        yield Part("text", (f"Its SHA-256 fingerprint, to be compared: {own.sha256}",))
        yield from self._complaint(() if fetched else ("the certificate that openssl printed is not the server's",))

    def _checked(self, claim: Claim, seen: Observed, spec: ServerSpec) -> Iterator[Part]:
        if claims_nothing(claim):
            return
        happened = happening(seen, spec, self._client.dialect)
        yield from self._complaint(tuple(_differences(claim, happened, seen)))

    def _complaint(self, wrong: tuple[str, ...]) -> Iterator[Part]:
        self.wrong += wrong
        if wrong:
            yield Part("problem", wrong, heading="The evidence disagrees with this page")


def happening(seen: Observed, spec: ServerSpec, dialect: str) -> Claim:
    """Express what happened as a claim."""
    said = messages.words(b"\n".join((seen.run.stdout, seen.run.stderr)), b"", dialect)
    genuine = seen.testimony.behind if spec.behind is not None else seen.testimony
    logins = () if genuine is None else genuine.credentials
    login = any(each.accepted for each in logins) and seen.holds_payload
    return Claim(login, frozenset(reason for word in said for reason in word.reasons), seen.exposures)


def _differences(claim: Claim, happened: Claim, seen: Observed) -> Iterator[str]:
    if claim.login != happened.login:
        yield f"login: expected {_yes(claim.login)}, seen {_yes(happened.login)}"
    if claim.refused != happened.refused:
        yield f"reasons for a refusal: expected {_listed(claim.refused)}, seen {_listed(happened.refused)}"
    if claim.exposed != happened.exposed:
        yield f"exposed: expected {_pairs(claim.exposed)}; seen {_pairs(happened.exposed)}"
    yield from seen.contradictions


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _listed(words: frozenset[str]) -> str:
    return ", ".join(sorted(words)) or "none"


def _pairs(pairs: frozenset[tuple[str, str]]) -> str:
    return ", ".join(f"{what} to {whom}" for what, whom in sorted(pairs)) or "nothing"


def _printed(seen: Observed) -> Iterator[Part]:
    lines = (*lines_of(seen.run.stdout), *lines_of(seen.run.stderr))
    yield Part("output", lines or ("(nothing)",))


def _server(seen: Observed, spec: ServerSpec) -> Iterator[Part]:
    """Show what the server recorded, and what the attacker in front of it recorded."""
    testimony = seen.testimony
    who = "the server" if spec.attacker is None else "the interceptor" if spec.intercepted else "the attacker"
    section = server_section(testimony)
    captured = tuple(
        f"CAPTURED  user {harmless(each.user)}, password {harmless(each.password or '')}"
        for each in testimony.credentials
        if testimony.role == "impostor" and each.password
    )
    yield Part("server", (*_essential(section.lines), *captured), f"What {who} saw", (PASSWORD,))
    if testimony.behind is not None:
        yield Part("server", _essential(server_section(testimony.behind).lines), "What the genuine server saw", ())


def _essential(lines: tuple[str, ...]) -> tuple[str, ...]:
    """A server's lines without the commands that are the same in every session."""
    return tuple(_DETAIL.sub("", line) for line in lines if not _ROUTINE.match(line))


def _wire(seen: Observed) -> Part:
    """An eavesdropper's recording: the lines around the password, or the first lines if it contains no password."""
    records = [record for record in seen.wire.records if record.kind == "control"] or list(seen.wire.records)
    total = sum(len(record.to_server) + len(record.to_client) for record in seen.wire.records)
    heading = f"What an eavesdropper saw: {total} bytes in {plural(len(seen.wire.records), 'connection')}"
    secret = PASSWORD.encode()
    for record in records:
        at = record.to_server.find(secret)
        if at >= 0:
            return Part(
                "wire",
                (*_dump(record.to_server, at), f"The password is there to read: {PASSWORD}"),
                heading,
                (PASSWORD,),
            )
    if not records:
        return Part("wire", ("Nothing: there was no connection.",), heading)
    shown = _longest(records)
    readable = "The password can be decoded from it." if seen.exposure.password else _NOWHERE
    return Part("wire", (*_dump(shown, max(0, len(shown) - _AROUND * _WIDTH)), readable), heading)


def _longest(records: list[WireRecord]) -> bytes:
    return max((record.to_server for record in records), key=len)


def _dump(data: bytes, at: int) -> Iterator[str]:
    """Some lines in hex and text, around an offset."""
    begin = max(0, at - len(b"PASS "))
    for start in range(begin, min(len(data), begin + _AROUND * _WIDTH), _WIDTH):
        row = data[start : start + _WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:06x}  {row.hex(' '):<47}  {text}"
