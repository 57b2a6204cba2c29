"""The teacher's window: each learner's line shows the latest event, and fits on a projector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_lab.classroom.events import Event, append, read
from ftps_lab.classroom.window import WIDTH, grouped, story, table

if TYPE_CHECKING:
    from pathlib import Path


def event(at: float, learner: str, what: str, *, captured: str = "", host: str = "example", peer: str = "") -> Event:
    return Event(at=at, host=host, learner=learner, peer=peer, channel="tls", what=what, captured=captured)


EVENTS = (
    event(10, "anna", "left before the login"),
    event(11, "ben", "password captured", captured="coral-robin-11", host="intercepted"),
    event(12, "ben", "logged in", host="intercepted"),
    event(13, "anna", "logged in"),
    event(14, "", "left before the login", peer="172.18.0.9"),
)


def test_table_shows_the_latest_event_of_each_learner() -> None:
    lines = table(EVENTS, ["anna", "ben", "carla"])
    assert [line.split()[0] for line in lines[2:]] == ["172.18.0.9", "anna", "ben", "carla"]
    assert "00:00:13" in lines[3]
    assert "logged in" in lines[3]
    assert lines[5].split() == ["carla", "-"]
    assert lines[0] == "3 seen, 1 not yet; passwords of 1 leaked"


def test_captured_password_is_only_in_its_learners_line() -> None:
    lines = table(EVENTS, ["anna", "ben"])
    assert [line.split()[0] for line in lines if "coral-robin-11" in line] == ["ben"]


def test_table_of_thirty_learners_fits_in_80_columns() -> None:
    class_ = [f"learner{number:02}" for number in range(1, 31)]
    events = [event(n, who, "refused: no TLS offered", captured="maroon-jaguar-99") for n, who in enumerate(class_)]
    lines = table(events, class_)
    assert len(lines) == 32
    assert max(map(len, lines)) <= WIDTH
    assert all("maroon-jaguar-99" in line for line in lines[2:])


def test_table_counts_the_lines_that_do_not_fit() -> None:
    lines = table(EVENTS, ["carla"], rows=4)
    assert len(lines) == 4
    assert lines[-1].startswith("and 3 more")


def test_story_has_the_events_of_one_learner_in_order() -> None:
    lines = story(EVENTS, "ben")
    assert ["captured" in lines[0], "logged in" in lines[1]] == [True, True]
    assert len(lines) == 2
    assert story(EVENTS, "carla") == []
    assert sum("anna" in line for line in grouped(EVENTS)) == 1


def test_events_are_read_in_order_without_an_unfinished_line(tmp_path: Path) -> None:
    for each in reversed(EVENTS):
        append(tmp_path, each)
    with (tmp_path / "example.events").open("a") as file:
        file.write('{"at": 1')
    assert tuple(read(tmp_path)) == EVENTS
