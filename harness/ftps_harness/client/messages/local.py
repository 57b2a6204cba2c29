"""lftp's messages on standard error when it cannot run a command here: a missing file, an unknown command.

Such a line is not a refusal. It says that something requested did not happen, which the exit code does not show:
lftp's exit code is that of the last command. Each row must match a whole line, as in `tables`.
"""

from __future__ import annotations

from ftps_harness.client.messages.tables import STRERROR, Row

_MEASURED = "measured: 4.9.2-2"
_FIVE = "measured: 4.8.4 to 4.9.3, GnuTLS and OpenSSL (scenarios/script)"
_COMMANDS = "lftp 4.9.3, src/commands.cc"

_QUOTED = "[`'‘].*['’]"  # noqa: RUF001  # lftp quotes as the locale does
_LOOKUP = (
    "(?:Name or service not known|Temporary failure in name resolution|No address associated with hostname"
    "|Non-recoverable failure in name resolution|Host name lookup failure|No such host is known"
    "|nodename nor servname provided, or not known)"
)


def _row(text: str, source: str) -> Row:
    return Row(text, frozenset(), source)


LOOKUP = (
    _row(rf"[\w.-]+: (?:.*: )?{_LOOKUP}", _MEASURED),
    _row(r"open: Fatal error: max-retries exceeded( \(.*\))?", _FIVE),
)
"""lftp did not reach the server that a command names."""

LOCAL = (
    _row(rf".*: {STRERROR}", _FIVE + "; lftp 4.9.3, src/Job.cc, perror"),
    _row(rf"(?:Unknown|Ambiguous) command {_QUOTED}\.", _FIVE),
    _row(r"(?:Invalid|Ambiguous) command\. .*", _COMMANDS),
    _row(r"[\w.-]+: .*: no files found", _FIVE),
    _row(r"[\w.-]+: .*: file already exists and xfer:clobber is unset", _MEASURED),
    _row(r"[\w.-]+: (?:invalid option|unrecognized option|option|ambiguous option|unknown option) .*", _MEASURED),
    _row(rf"(?:.* )?Try {_QUOTED} for more information\.?", _MEASURED),
    _row(r"File name missed\. .*", _MEASURED),
    _row(r"Usage: .*", _COMMANDS),
    _row(r"parse: missing (?:filter command|redirection filename)", "lftp 4.9.3, src/parsecmd.cc"),
    _row(r"Warning: discarding incomplete command", "lftp 4.9.3, src/CmdExec.cc"),
    _row(r"Warning: chdir\(.*\) failed: .*", "lftp 4.9.3, src/CmdExec.cc"),
    _row(r"No current local directory, use absolute path\.", _COMMANDS),
    _row(r"[\w.-]+: no old directory for this site", _COMMANDS),
    _row(r"open: .* ?- not supported protocol", _MEASURED),
    _row(rf"[\w.-]+: command {_QUOTED} is not compiled in\.", "lftp 4.9.3, src/CmdExec.cc"),
    _row(r"[\w:/*.-]+: (?:no such variable|ambiguous variable name)\. Use .* to look at all variables\.", _MEASURED),
    _row(
        r".*: (?:invalid boolean(?:/auto)? value|invalid number|no closure defined for this setting)\.",
        _MEASURED,
    ),
    _row(r".*: Invalid (?:time|rate|range|IPv4|IPv6).*", _MEASURED),
    _row(r"[\w.-]+: .* - (?:not a number|no such job|no such cached session\..*)", _COMMANDS),
    _row(r"[\w.-]+: (?:no such bookmark .*|bookmark name required|no current job|No queue is active\..*)", _COMMANDS),
    _row(r"[\w.-]+: .* (?:conflicts? with) .*", _COMMANDS),
    _row(
        r"(?:[\w.-]+: )?(?:.*: )?(?:seek failed|cannot seek on data source|no progress timeout"
        r"|file size (?:de|in)creased during transfer)",
        "lftp 4.9.3, src/FileCopy.cc",
    ),
    _row(r"mirror: protocol .* is not suitable for mirror", "lftp 4.9.3, src/MirrorJob.cc"),
    _row(
        r"[\w.-]+: (?:source directory is required.*|ambiguous (?:source|target) directory .*)",
        "lftp 4.9.3, src/MirrorJob.cc",
    ),
    _row(
        r"(?:execvp|execlp|execl|chdir|mkdir|open|fork)\(.*\).*: .*",
        "lftp 4.9.3, src/Filter.cc, src/SysCmdJob.cc, src/misc.cc",
    ),
    _row(r"(?:Interrupt|Cannot .*)", _COMMANDS),
)
"""A command failed here."""

HARMLESS = (
    _row(r"l?cd ok, (?:local )?cwd=.*", _COMMANDS + ": with cmd:verbose"),
    _row(r"[\w.-]+: GetPass\(\) failed -- assume anonymous login", _MEASURED),
    _row(r"[\w.-]+: received redirection to .*", "lftp 4.9.3, src/CmdExec.cc"),
    _row(r".*: lock for (?:reading|writing) failed.*", "lftp 4.9.3, src/bookmark.cc, src/History.cc"),
    _row(r"pget: warning: space allocation for .* failed: .*", "lftp 4.9.3, src/pgetJob.cc"),
    _row(r"du: warning: .*", _COMMANDS),
    _row(r"\[\d+\] (?:Started|Finished)\. .*", "measured: 4.9.2-2: in the log of what moved to the background"),
)
"""Lines that do not say whether a command succeeded."""
