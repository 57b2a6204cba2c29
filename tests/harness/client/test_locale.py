"""lftp runs in a UTF-8 locale unless a step names another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL

from ftps_harness.client.lftp.locales import default_locale, why_no_locale
from ftps_harness.sandbox import process
from ftps_harness.scenario import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.harness.conftest import Play

HOSTNAME = 'verdict = "rejected"\nreason = "hostname"'


def starter_with_locales(*locales: str) -> process.Starter:
    """Starts `locale -a` as on a machine with these locales."""

    def start(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> process.Finished:
        assert list(argv) == ["locale", "-a"]
        return process.Finished(0, None, False, 0.1, "\n".join(locales).encode(), b"")

    return start


@pytest.mark.parametrize(
    ("locales", "chosen"),
    [
        (["C", "C.utf8", "POSIX"], "C.UTF-8"),
        (["C", "C.UTF-8", "en_US.utf8"], "C.UTF-8"),
        (["C", "POSIX", "en_US.UTF-8", "de_DE.UTF-8"], "en_US.UTF-8"),
        (["C", "POSIX", "de_DE.UTF-8"], "C"),
        ([], "C"),
    ],
)
def test_default_locale_is_english_utf8_if_available(locales: list[str], chosen: str) -> None:
    assert default_locale(starter_with_locales(*locales)) == chosen


def test_missing_locale_is_a_reason() -> None:
    client = starter_with_locales("C", "de_DE.iso88591")
    assert why_no_locale(client, "de_DE.ISO-8859-1") is None
    assert why_no_locale(client, "C") is None
    assert "the locale fr_FR.UTF-8 is not installed" in str(why_no_locale(client, "fr_FR.UTF-8"))


def test_scenario_with_a_missing_locale_is_skipped(play: Play) -> None:
    result = play(play.step(ACCEPTED, keys='locale = "xx_XX.UTF-8"'))
    assert result.status == "skip"
    assert "xx_XX.UTF-8" in result.why


@pytest.mark.parametrize("locale", ["", "C;x", "../C", "de_DE.UTF-8 ", "LC_ALL=C"])
def test_invalid_locale_is_a_scenario_error(play: Play, locale: str) -> None:
    with pytest.raises(ScenarioError, match="is not a locale"):
        play.scenario(play.step(ACCEPTED, keys=f'locale = "{locale}"'))


@pytest.mark.parametrize(("keys", "locale"), [("", "UTF-8"), ('locale = "C"\n', "C")])
def test_lftp_runs_in_the_locale(play: Play, keys: str, locale: str) -> None:
    run = 'run = ["!echo $LC_ALL $LANG > $HOME/locale; cat $HOME/locale", "ls"]'
    (attempt,) = play(play.step(ACCEPTED, keys=keys + run + NO_CONTROL)).steps[0].attempts
    first, second = attempt.run.stdout.split(b"\n")[0].decode().split()
    assert first == second
    assert first.endswith(locale)


@pytest.mark.parametrize("locale", ["", 'locale = "C"\n'])
def test_refusal_and_message_match_in_c_and_utf8_locales(play: Play, locale: str) -> None:
    """GnuTLS builds quote the host name as the locale does."""
    message = "\nmessage = \"'other.example'\"" if play.client.dialect != "classic" else ""
    step = play.step(HOSTNAME + message, keys=f'host = "other.example"\nrun = ["list"]\n{locale}')
    result = play(step)
    assert result.status == "pass", result.steps[0].why
