"""`ftps-lab serve` and `doctor`: the lab itself, to look at."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("name", metavar="SCENARIO")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="Where to listen (default: a free port)."
)
@click.option("--step", type=click.IntRange(min=1), default=1, metavar="N", help="Begin with this step (default: 1).")
def serve(name: str, port: int, step: int) -> None:
    """Start a scenario's server and stay.

    Prints what to type in another terminal: openssl's command, the rc, lftp's command, user and password. On a
    terminal, Enter goes on to the next step (a rotation, say); Ctrl-C ends it and leaves nothing behind.
    """
    from ftps_harness.scenario.selection import choose_one, load_all
    from ftps_harness.teach import serve as serving  # OpenSSL is loaded when a server is wanted

    (scenario,) = load_all([choose_one(name)])
    serving.serve(scenario, click.echo, port=port, step=step)


@click.command()
@click.option("--lftp", metavar="PATH", help="The lftp to look at.")
def doctor(lftp: str | None) -> int:
    """Show what is here, and what each missing part costs."""
    from ftps_harness import doctor as examining
    from ftps_harness.report.findings import print_findings
    from ftps_harness.sandbox.signals import undisturbed

    parts = examining.examine(lftp)
    findings = []
    # Part by part, so that Ctrl-C is heard within the seconds that one takes.
    while (finding := undisturbed(lambda: next(parts, None))) is not None:
        findings.append(finding)
    print_findings(sys.stdout, findings)
    return 0 if examining.works(findings) else 3
