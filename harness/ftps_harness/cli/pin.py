"""`ftps-lab pin`: pin the certificate of your own server, in your own HOME."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ftps_harness.cli import options as shared

if TYPE_CHECKING:
    from ftps_harness.pinning.tool.target import Target
    from ftps_harness.pinning.tool.tool import PinningTool

_TIMEOUT = 10.0
_SHA256 = re.compile(r"[0-9A-F]{64}")


class _Fingerprint(click.ParamType[str]):
    """A SHA-256 fingerprint, in any of the spellings in use."""

    name = "sha256"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Upper case, with colons."""
        text = re.sub(r"[:\s-]", "", re.sub(r"(?i)^\s*sha-?256(?: fingerprint)?[:=\s]\s*", "", str(value))).upper()
        if not _SHA256.fullmatch(text):
            self.fail(f"{value!r}: a SHA-256 fingerprint is 64 hexadecimal digits", param, ctx)
        return ":".join(text[at : at + 2] for at in range(0, len(text), 2))


@dataclass(frozen=True, slots=True)
class _Call:
    """The options of one call."""

    host: str | None
    port: int | None
    implicit: bool
    by: str
    expect: str | None
    replace: bool
    remove: bool
    list_: bool
    check: bool
    dry_run: bool
    timeout: float
    lftp: str | None


@click.command("pin")
@click.argument("host", metavar="HOST[:PORT]", required=False)
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="The same as HOST:N.")
@click.option("--implicit", is_flag=True, help="The server speaks implicit FTPS; on port 990 this is detected.")
@click.option(
    "--by",
    type=click.Choice(["file", "fingerprint"]),
    default="file",
    metavar="WAY",
    help="Pin the certificate in a file (WAY file, the default), or by its SHA-1 (fingerprint).",
)
@click.option("--expect", type=_Fingerprint(), metavar="SHA256", help="Pin only the certificate with this fingerprint.")
@click.option("--replace", is_flag=True, help="Replace an older pin, or our own lines if they were edited by hand.")
@click.option("--remove", is_flag=True, help="Remove the pin of HOST.")
@click.option("--list", "list_", is_flag=True, help="Show what is pinned.")
@click.option("--dry-run", is_flag=True, help="Show what would change as a diff, and write nothing.")
@click.option(
    "--check",
    is_flag=True,
    help="Check that the pinned certificate is still served, and show how many days it is valid.",
)
@click.option(
    "--timeout",
    type=shared.Seconds(),
    default=_TIMEOUT,
    metavar="S",
    help=f"Seconds for the whole connection (default: {_TIMEOUT:g}).",
)
@click.option("--lftp", metavar="PATH", help="The lftp to ask which settings are in force.")
def pin(**options: object) -> int:
    """Pin the certificate of your own FTPS server for lftp, in your own HOME.

    The command fetches the certificate in one connection to HOST, without a login. Then it asks lftp how lftp would
    read the new rc. It writes only if the pin protects and every other line keeps its effect: the certificate to
    ~/.lftp/ftps-lab-pins.crt, and the settings of docs/hardening.md to a marked block in the rc. It reports an older
    pin and lines that switch verification off, and never overrides them without an option.

    This is the only command of ftps-lab that talks to a host outside the lab, and it talks only to HOST.

    Exit codes: 0 done; 1 not pinned (not the pinned or expected certificate, one that lftp refuses, an rc
    that undoes the pin; with --check: not served, expired); 2 wrong usage; 3 the command could not do its work (not
    reachable, not an FTPS server, not writable). With every code but 0, nothing was written.
    """
    from ftps_harness.pinning.tool.tool import Refused

    call = _Call(**options)  # type: ignore[arg-type]  # click names and types them as above
    _require_consistent(call)
    target = _target(call)
    tool = _tool(call)
    try:
        if call.list_:
            tool.list_()
        elif target is not None:
            _carry_out(tool, call, target)
    except Refused as answer:
        click.echo(str(answer), err=True)
        return 1
    return 0


def _carry_out(tool: PinningTool, call: _Call, target: Target) -> None:
    from ftps_harness.pinning.tool.tool import Wanted

    if call.check:
        tool.check(target)
    elif call.remove:
        tool.remove(target, replace=call.replace, dry_run=call.dry_run)
    else:
        tool.pin(target, Wanted(call.by, call.expect or "", replace=call.replace, dry_run=call.dry_run))


def _require_consistent(call: _Call) -> None:
    modes = [name for name, on in (("--list", call.list_), ("--check", call.check), ("--remove", call.remove)) if on]
    if len(modes) > 1:
        raise click.UsageError(f"{' and '.join(modes)}: give only one of them")
    if (call.host is None) != call.list_:
        raise click.UsageError("--list takes no HOST" if call.list_ else "give HOST or HOST:PORT, or --list")
    if modes and call.expect:
        raise click.UsageError(f"{modes[0]} pins nothing: omit --expect")
    if call.dry_run and (call.list_ or call.check):
        raise click.UsageError(f"{modes[0]} writes nothing anyway: omit --dry-run")


def _target(call: _Call) -> Target | None:
    if call.host is None:
        return None
    from ftps_harness.pinning.tool.target import parse

    return parse(call.host, implicit=call.implicit, given=call.port)


def _tool(call: _Call) -> PinningTool:
    from ftps_harness.client.lftp.binary import find
    from ftps_harness.pinning.tool.tool import PinningTool

    return PinningTool(find(call.lftp), click.echo, call.timeout)
