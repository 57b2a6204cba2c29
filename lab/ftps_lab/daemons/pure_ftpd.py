"""Pure-FTPd 1.0.50: its command line, and its log read line by line.

It logs only to syslog, so the lab takes over /dev/log (`ftps_lab.daemons.syslog`): a container can run one such server
at a time. Its users are system users supplied by nss_wrapper: a login through its PureDB costs 3 s of hashing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_lab.daemons.daemon import Daemon, Needs, crypted
from ftps_lab.daemons.log import Answered, Asked, Began, Event, Moved, Secured, Strange
from ftps_lab.daemons.syslog import Syslog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_lab.interface import ServerSpec

_LINE = re.compile(r"pure-ftpd: \((?P<user>.*)@(?P<address>[\d.]+|\?)\) \[(?P<level>[A-Z]+)\] (?P<text>.*)")
_COMMAND = re.compile(r"Command \[([^\]]*)\] \[(.*)\]")
_REPLY = re.compile(r"(\d{3}) (.*)")
_LEFT = re.compile(r"(?!221)\d{3} Logout\.")
"""Its log line when a client left without QUIT, with the code of its last reply; it is not a reply itself."""
_SECURED = re.compile(r"TLS: Enabled (\S+) with (\S+), .*")
_MOVED = re.compile(r"(?P<path>.*) (?:up|down)loaded  \((?P<size>\d+) bytes, .*\)")
_MATTERS = re.compile(r"\b(?:uploaded|downloaded)\b")


class PureFtpd(Daemon):
    """Pure-FTPd."""

    binary = "pure-ftpd"
    needs = Needs(
        user="root",
        capabilities=(
            *("CHOWN", "DAC_READ_SEARCH", "SETGID", "SETUID", "NET_BIND_SERVICE", "SYS_CHROOT", "SYS_NICE"),
            *("AUDIT_WRITE", "KILL"),
        ),
        why="it makes the served folder a user's root, as that user; it needs all of these but KILL to start",
    )
    anonymous = False
    oldest_tls = "1.2"
    has_implicit = False
    tickets = (0, 0)
    home_ends_in = "/./"  # makes even root's own home the root of what a user sees
    _syslog: Syslog | None = None
    _tls = "0"

    def argv(self) -> list[str]:
        """The command line."""
        first, last = self.passive.start, self.passive.stop - 1
        listen = f"{self.address[0]},{self.address[1]}"
        options = ["-4", "-A", "-E", "-H", "-w", "-d", "-d", "-u", "0", "-c", "200", "-U", "133:022"]
        tls = ["-Y", self._tls, "-2", str(self.folder / "certificate.pem"), "-J", "DEFAULT"] if self._tls != "0" else []
        return [
            self.path(),
            *options,
            "-S",
            listen,
            "-p",
            f"{first}:{last}",
            "-P",
            self.outward,
            "-l",
            "unix",
            "-g",
            str(self.folder / "pid"),
            *tls,
        ]

    def environment(self) -> dict[str, str]:
        """Its whole environment, with shadow passwords too."""
        return super().environment() | {"NSS_WRAPPER_SHADOW": str(self.folder / "shadow")}

    def write(self, spec: ServerSpec) -> None:
        """Write or replace its files."""
        if self._syslog is None:
            self._syslog = Syslog(self.log)
        self.write_common(spec)
        secret = crypted(self.password)
        self.write_accounts(secret)
        self.put("shadow", "".join(f"{name}:{secret}:19000:0:99999:7:::\n" for name in self.users))
        self._tls = "0" if spec.protocol == "plain" else "3" if spec.require_tls else "1"

    def is_quiet(self, timeout: float = 5.0) -> bool:
        """Whether everything it sent to syslog reaches the log within `timeout` seconds."""
        return self._syslog is None or self._syslog.flush(timeout)

    def close(self) -> None:
        """Release /dev/log."""
        if self._syslog is not None:
            self._syslog.close()
            self._syslog = None

    def events(self, lines: Iterable[str]) -> Iterable[Event]:
        """The events in these lines of its log."""
        for line in lines:
            yield from read_line(line, str(self.root))


def read_line(line: str, root: str) -> Iterator[Event]:
    """The events in one line of the log; `root` is the prefix of the file paths in the log."""
    found = _LINE.fullmatch(line)
    if found is None:
        yield Strange(line)
        return
    address, text = found["address"], found["text"]
    if address == "?":
        return  # from the daemon, not from a session
    yield Began(address)
    if found["level"] == "DEBUG":
        if asked := _COMMAND.fullmatch(text):
            verb = asked[1].upper()
            yield Asked(address, verb, "" if verb == "PASS" else asked[2])
        elif (reply := _REPLY.fullmatch(text)) and not _LEFT.fullmatch(text):
            yield Answered(address, int(reply[1]), reply[2])
    elif secured := _SECURED.fullmatch(text):
        yield Secured(address, secured[1], secured[2])
    elif moved := _MOVED.fullmatch(text):
        yield Moved(address, re.sub("/+", "/", moved["path"]).removeprefix(root), int(moved["size"]))
    elif _MATTERS.search(text):
        yield Strange(line)
