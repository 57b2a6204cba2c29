"""Scenarios with the same steps, shown side by side."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftps_harness import cli
from ftps_harness.client.lftp import Lftp
from ftps_harness.report.side_by_side import Family, families, lines
from ftps_harness.report.tally import BuildRun
from ftps_harness.report.terminal import Terminal


def outcome(verdict: str, *exposed: str) -> Any:
    """The fields of an attempt that the table reads."""
    return SimpleNamespace(outcome=SimpleNamespace(verdict=verdict, exposed=frozenset(exposed)))


def result(id: str, titles: list[str], *steps: list[Any], expected: str = "rejected") -> Any:  # noqa: A002
    """A scenario's result; fewer steps than titles mean that it broke off."""
    scenario = SimpleNamespace(id=id, steps=[SimpleNamespace(title=title) for title in titles])
    done = [SimpleNamespace(attempts=attempts, expect=SimpleNamespace(verdict=expected)) for attempts in steps]
    return SimpleNamespace(scenario=scenario, steps=done)


NO, YES = [outcome("rejected")], [outcome("accepted")]
LEAK, FILES = [outcome("exposed", "password", "payload")], [outcome("exposed", "payload")]
TITLES = ["no rc", "pinned"]


def test_scenarios_with_the_same_steps_form_a_family() -> None:
    """A single scenario is not a family."""
    members = [result("a/one", TITLES, NO, YES), result("a/two", TITLES, LEAK, FILES)]
    others = [result("a/three", ["other", "steps"], NO, NO), result("a/four", ["single"], NO)]
    (family,) = families([*members, *others])
    assert family.columns == ("no rc", "pinned")
    assert family.rows == (("a/one", ("rejected", "accepted")), ("a/two", ("PASSWORD", "payload")))


def test_incomplete_scenario_is_left_out() -> None:
    assert families([result("a/one", TITLES, NO, NO), result("a/two", TITLES, NO)]) == []


@pytest.mark.parametrize(
    ("attempts", "cell"),
    [
        ([*LEAK, *NO], "PASSWORD*"),
        ([*FILES, *LEAK], "PASSWORD"),
        ([*NO, *FILES], "payload*"),
        ([outcome("failed"), *NO], "rejected*"),
        ([outcome("failed"), outcome("failed")], "failed"),
        ([*YES, outcome("failed")], "accepted*"),
    ],
)
def test_cell_shows_the_worst_of_several_runs_and_marks_it(attempts: list[Any], cell: str) -> None:
    """One exposure makes the cell exposed; otherwise the expected verdict is shown, if it occurred."""
    (family,) = families([result("a/one", TITLES, attempts, NO), result("a/two", TITLES, NO, NO)])
    assert family.rows[0][1][0] == cell
    assert any("not in every run" in line for line in lines(family, 79)) is cell.endswith("*")


def family_of(names: list[str], columns: int) -> Family:
    """A family with cells of the greatest width."""
    return Family(tuple(f"step {n}" for n in range(columns)), tuple((name, ("PASSWORD*",) * columns) for name in names))


def test_80_columns_hold_six_steps() -> None:
    """The area that all scenarios share appears once."""
    shown = list(lines(family_of(["attack/one", "attack/another"], 6), 79))
    assert max(map(len, shown)) <= 79
    assert shown[7] == "attack/ 1         2         3         4         5         6"
    assert shown[8].startswith("one     PASSWORD*")


def test_long_name_is_on_its_own_line() -> None:
    shown = list(lines(family_of(["attack/" + "x" * 40, "other/y"], 6), 79))
    assert max(map(len, shown)) <= 79
    at = shown.index("attack/" + "x" * 40)
    assert shown[at + 1].startswith("  PASSWORD*")


def test_table_with_many_steps_is_transposed() -> None:
    """Each step is a row, each scenario a column."""
    shown = list(lines(family_of(["attack/one", "attack/two"], 20), 79))
    assert shown[:2] == ["  1  attack/one", "  2  attack/two"]
    assert sum(line.startswith("step ") for line in shown) == 20
    assert max(map(len, shown)) <= 79


@pytest.mark.parametrize("width", [79, 59])
@pytest.mark.parametrize("columns", [2, 20])
def test_long_titles_and_names_are_wrapped_without_loss(columns: int, width: int) -> None:
    """The text is complete, and only a cell can be wider than the screen."""
    title = "a title of many words that goes on and on until it is longer than anybody's screen is wide " * 2
    name = "area/" + "-".join(["long"] * 30)
    rows = tuple((each, ("rejected",) * columns) for each in (name, "area/x"))
    shown = list(lines(Family((title.strip(),) * columns, rows), width))
    assert max(map(len, shown)) <= width
    assert " ".join(" ".join(shown).split()).count(title.strip()) == columns
    assert name.removeprefix("area/") in "".join(line.strip() for line in shown)


@pytest.mark.parametrize("columns", [2, 20])
def test_every_cell_is_below_its_number(columns: int) -> None:
    """This holds for cells of all widths and in both orientations."""
    words = ("rejected", "PASSWORD*", "failed", "payload")
    rows = tuple((f"a/{name}", tuple(words[(at + name) % 4] for at in range(columns))) for name in range(3))
    shown = list(lines(Family(tuple(f"s{at}" for at in range(columns)), rows), 79))
    head = next(
        at for at, line in enumerate(shown) if line.split()[-2:] == [str(min(columns, 3) - 1), str(min(columns, 3))]
    )
    starts = [shown[head].index(f" {number}") + 1 for number in range(1, min(columns, 3) + 1)]
    found = [[line[at:].split()[0] for at in starts] for line in shown[head + 1 :] if line and "every run" not in line]
    wanted = (
        [list(row) for _, row in rows]
        if columns == 2
        else [list(row) for row in zip(*(r for _, r in rows), strict=True)]
    )
    assert found == wanted


def test_skipped_scenario_is_left_out() -> None:
    """Two scenarios ran and one did not: only the two are in the table."""
    ran = [result(f"a/{name}", TITLES, NO, YES) for name in ("one", "two")]
    (family,) = families([ran[0], result("a/skipped", TITLES), ran[1]])
    assert [name for name, _ in family.rows] == ["a/one", "a/two"]


def test_escape_sequences_in_names_are_removed() -> None:
    titles = ["\x1b[2J", "two"]
    (family,) = families([result("a/\x1b[2J", titles, NO, NO), result("a/b", titles, NO, NO)])
    assert "\x1b" not in "".join(lines(family, 79))


def test_terminal_prints_each_family_once() -> None:
    ran = [result(f"{area}/{name}", [area, "two"], NO, YES) for area in ("a", "b") for name in ("one", "two")]
    stream = io.StringIO()
    lftp = Lftp(Path("/usr/bin/lftp"), "4.9.2", "GnuTLS", "status")
    Terminal(stream).side_by_side(BuildRun(lftp, tuple(ran), 4, 1.0))
    assert stream.getvalue().count("side by side") == 2
    Terminal(stream).side_by_side(BuildRun(lftp, tuple(ran[:1]), 1, 1.0))
    assert stream.getvalue().count("side by side") == 2


@pytest.mark.parametrize("steps", [2, 12])
def test_only_cells_are_coloured_by_their_verdict(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """PASSWORD is red and rejected green, but not in a title or name that contains the same word."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    titles = ["rejected"] * steps
    ran = [result("a/PASSWORD", titles, *[NO] * steps), result("a/two", titles, *[LEAK] * steps)]
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    lftp = Lftp(Path("/usr/bin/lftp"), "4.9.2", "GnuTLS", "status")
    Terminal(stream).side_by_side(BuildRun(lftp, tuple(ran), 2, 1.0))
    shown = stream.getvalue()
    assert shown.count("\x1b[1;31mPASSWORD\x1b[0m") == steps
    assert shown.count("\x1b[32mrejected\x1b[0m") == steps


STEPS = "".join(
    f'[[step]]\ntitle = "{title}"\nrun = ["list"]\nrc = "{rc}"\n[step.expect]\n{expect}\n'
    for title, rc, expect in (
        ("no rc", "", 'verdict = "rejected"\nreason = "untrusted"'),
        ("off", "set ssl:verify-certificate no", 'verdict = "exposed"'),
    )
)
IMPOSTOR = (
    f'schema = 1\ntitle = "t"\nwhy = "w"\n[certificates.c]\n[server]\ncertificate = "c"\nrole = "impostor"\n{STEPS}'
)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two scenarios with the same steps."""
    folder = tmp_path / "scenarios/mine"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / f"{name}.scenario.toml").write_text(IMPOSTOR)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.lftp
def test_run_prints_the_family_once_per_build(family: Path, client: Lftp, capsys: pytest.CaptureFixture[str]) -> None:
    """The table follows each build's table; a single scenario has nothing to compare with."""
    other = family / "other-lftp"
    other.symlink_to(client.path)
    builds = [str(client.path), str(other)]
    assert cli.call(["run", "mine", "--no-controls", *(part for path in builds for part in ("--lftp", path))]) == 0
    tables = capsys.readouterr().out.split("what lftp did, by step")[1:]
    assert [table.count("side by side") for table in tables] == [1, 1]
    for table in tables:
        assert "mine/ 1        2\none   rejected PASSWORD\ntwo   rejected PASSWORD\n" in table
    assert cli.call(["run", "mine/one", "--no-controls"]) == 0
    assert "side by side" not in capsys.readouterr().out
