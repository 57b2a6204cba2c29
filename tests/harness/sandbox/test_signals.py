"""Ctrl-C and similar signals are handled once, at a moment when everything can be cleaned up."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from ftps_harness.sandbox.signals import AskedToEnd, deferring, interrupting, on_shutdown_signal, undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _restored_handlers() -> Iterator[None]:
    """Restores pytest's signal handlers."""
    before = {each: signal.getsignal(each) for each in ENDING}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def current_handlers() -> list[object]:
    return [signal.getsignal(each) for each in ENDING]


@pytest.mark.parametrize("number", ENDING)
def test_first_signal_raises_and_later_ones_are_ignored(number: signal.Signals) -> None:
    with pytest.raises(AskedToEnd), interrupting():
        signal.raise_signal(number)
    for each in ENDING:
        signal.raise_signal(each)  # it would end the tests


def test_handlers_are_restored_without_a_signal() -> None:
    before = current_handlers()
    with interrupting(), on_shutdown_signal(list):
        assert current_handlers() != before
    assert current_handlers() == before
    with pytest.raises(ZeroDivisionError), interrupting():
        raise ZeroDivisionError
    assert current_handlers() == before


def test_inner_handler_runs_once_and_signals_stay_ignored() -> None:
    heard: list[int] = []
    with interrupting():
        with on_shutdown_signal(lambda: heard.append(1)):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        assert heard == [1]
    assert current_handlers() == [signal.SIG_IGN] * 3


def test_ignored_signal_stays_ignored() -> None:
    """Under nohup, or in the background of a shell script."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupting():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_undisturbed_work_completes_before_ctrl_c_is_raised() -> None:
    done: list[bool] = []

    def work() -> int:
        signal.raise_signal(signal.SIGINT)
        done.append(True)
        return 7

    with pytest.raises(AskedToEnd):
        undisturbed(work)
    assert done == [True]


def test_undisturbed_returns_or_raises_as_its_work() -> None:
    assert undisturbed(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        undisturbed(lambda: 1 // 0)


def test_undisturbed_works_in_another_thread() -> None:
    """Python allows only the main thread to handle signals."""
    made: list[int] = []
    thread = threading.Thread(target=lambda: made.append(undisturbed(lambda: 7)))
    thread.start()
    thread.join()
    assert made == [7]


@pytest.mark.parametrize("number", ENDING)
def test_deferred_signal_undoes_and_restores_the_handlers(number: signal.Signals) -> None:
    """In pytest's process: the next Ctrl-C must end pytest."""
    before = current_handlers()
    undone: list[object] = []

    def made() -> str:
        signal.raise_signal(number)
        return "made"

    with pytest.raises(KeyboardInterrupt):
        deferring(made, undone.append)
    assert undone == ["made"]
    assert current_handlers() == before

    def failed() -> str:
        signal.raise_signal(number)
        raise ZeroDivisionError

    with pytest.raises(KeyboardInterrupt):
        deferring(failed, undone.append)
    assert current_handlers() == before
    assert deferring(lambda: 3, undone.append) == 3
    assert undone == ["made"]
