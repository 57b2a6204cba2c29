"""`ftps-lab serve` and `doctor`: try a scenario by hand, and check what is installed."""

from __future__ import annotations

import sys

import click

from ftps_harness.cli import options as shared


@click.command()
@click.argument("name", metavar="SCENARIO")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="The port to listen on (default: a free port).",
)
@click.option("--step", type=click.IntRange(min=1), default=1, metavar="N", help="Begin with this step (default: 1).")
@click.option("--user", metavar="NAME", help="The learner's user (default: generated).")
@click.option("--password", metavar="WORD", help="The learner's password, at least 6 characters (default: generated).")
@click.option("--rotate-every", type=shared.Seconds(), metavar="S", help="Show a new certificate every S seconds.")
@click.option(
    "--predict", is_flag=True, help="Hide the explanation and the expected result, so that a class can predict."
)
def serve(
    name: str,
    port: int,
    step: int,
    user: str | None,
    password: str | None,
    rotate_every: float | None,
    *,
    predict: bool,
) -> None:
    """Start a scenario's server and keep it running.

    Prints what to type in another terminal: openssl's command, the rc, lftp's command, user and password; then what
    the server sees, a line for each event. On a terminal, Enter or n goes to the next step, p goes back, r rotates the
    certificate, q quits. Standard input may also be a pipe with one such word per line. No files are left behind.
    """
    from ftps_harness.scenario.selection import choose_one, load_all
    from ftps_harness.teach import serve as serving  # loads OpenSSL only when needed
    from ftps_harness.verdict.needles import SHORTEST

    (scenario,) = load_all([choose_one(name)])
    if password is not None and len(password) < SHORTEST:
        raise click.UsageError(f"--password: give at least {SHORTEST} characters; a shorter one can occur by chance")
    options = serving.Options(
        port=port, step=step, user=user, password=password, rotate_every=rotate_every, predict=predict
    )
    serving.serve(scenario, click.echo, options)


@click.command()
@click.option("--lftp", metavar="PATH", help="The lftp to check.")
def doctor(lftp: str | None) -> int:
    """Show what is installed, and what each missing part prevents."""
    from ftps_harness import doctor as examining
    from ftps_harness.report.findings import print_findings
    from ftps_harness.sandbox.signals import undisturbed

    parts = examining.examine(lftp)
    findings = []
    # Part by part, so that Ctrl-C takes effect after at most one part, a few seconds.
    while (finding := undisturbed(lambda: next(parts, None))) is not None:
        findings.append(finding)
    print_findings(sys.stdout, findings)
    return 0 if examining.works(findings) else 3
