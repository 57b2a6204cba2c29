"""The host that an rc is for, and the other hosts for which it weakens the protection of logins. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_Settings = dict[str, dict[str, str]]
"""Name → closure (empty for all) → value, as `rc_stage.Settings`."""

_OFF: Final = frozenset({"no", "false", "off", "0", "n", "f", "-"})
"""lftp's output for a boolean that is off."""

_PROTECTS: Final = (
    "ssl:verify-certificate",
    "ftp:ssl-allow",
    "ftp:ssl-force",
    "ftp:ssl-protect-data",
    "ftp:ssl-protect-list",
    "ssl:check-hostname",
)
"""Settings that weaken protection when a closure switches them off, the worst first."""

_LEADS: Final = ("ftp:proxy", "dns:name")
"""Settings that redirect a session when a closure has a value."""


def is_host(name: str) -> bool:
    """Whether a closure or a certificate's name can be a host name."""
    return "." in name and not set("*?[:@ ").intersection(name)


def weakened(settings: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the closures (hosts or host patterns) for which a setting weakens the protection of logins, worst first.

    A fingerprint as closure does not name a host, and lftp never matches a closure with a port or a scheme (measured on
    4.9.2).

    Yields:
        The setting and the closure.
    """
    for name in (*_PROTECTS, *_LEADS):
        for closure, value in sorted(settings.get(name, {}).items()):
            bad = value.lower() in _OFF if name in _PROTECTS else bool(value)
            if bad and closure.strip("*?") and ":" not in closure:
                yield name, closure


def host_of(settings: _Settings, pinned: Sequence[str], default: str) -> str:
    """The host that a setup is for: the one that it protects least, or else one that a setting or a pin names.

    Args:
        settings: lftp's final settings.
        pinned: The names in pinned certificates.
        default: The host if nothing names one.
    """
    pinned = [name for name in pinned if is_host(name)]
    for _, closure in weakened(settings):
        if is_host(closure):
            return closure
        known = next((name for name in (*pinned, default) if matches(closure, name)), None)
        return known or closure.replace("*", "any").replace("?", "a")
    named = sorted({c for closures in settings.values() for c in closures if is_host(c)})
    return next(iter((*named, *pinned)), default)


def untried(settings: Mapping[str, Mapping[str, str]], host: str) -> Iterator[str]:
    """Why the setup cannot be called safe for all its hosts, a sentence each: it weakens hosts that were not tried.

    Args:
        settings: lftp's final settings.
        host: The host that is tried.
    """
    for name, closure in weakened(settings):
        if not matches(closure, host):
            yield (
                f"{closure} was not verified, although {name}/{closure} weakens its protection; run verify once with "
                f"`--host` for it, and once for {host}"
            )
            return


def leading(settings: Mapping[str, Mapping[str, str]], host: str) -> Iterator[str]:
    """The settings that redirect a session for a host, as lftp's `set` writes them."""
    for name in _LEADS:
        for closure, value in settings.get(name, {}).items():
            if value and (not closure or matches(closure, host)):
                yield f"{name}{'/' if closure else ''}{closure} {value}"


def matches(closure: str, host: str) -> bool:
    """Whether lftp applies a closure to a host: a case-sensitive pattern; ``*.example`` also covers ``example`` itself.

    docs/lftp.md, "Closures"; lftp 4.8.4 to 4.9.3, src/ResMgr.cc, `ClosureMatch`.
    """
    return fnmatchcase(host, closure) or closure == f"*.{host}"
