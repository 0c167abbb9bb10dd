"""What every test gets: a deadline in real time, a SIGINT that is heard, no silent skips in CI, a hypothesis profile.

An async test has 30 s for its body, or what `@pytest.mark.deadline(seconds)` says; then it is cancelled, so its
fixtures still clean up. Everything else (sync tests, setup, teardown) has 120 s. The deadline is an alarm and not
`trio.fail_after`, so that it holds on a mock clock too, and ends a test that blocks the event loop.
"""

import functools
import inspect
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import trio
from hypothesis import is_hypothesis_test, settings

ASYNC_DEADLINE_S = 30.0
DEADLINE_S = 120.0
GRACE_S = 5.0  # between cancelling an async test and raising wherever it is

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell starts its children with it ignored

settings.register_profile("dev", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


class Watch:
    """The alarm of the one test that is running, and the scope it cancels where the test is async."""

    def __init__(self) -> None:
        self.scope: trio.CancelScope | None = None
        self.token: trio.lowlevel.TrioToken | None = None
        self.expired = False

    @contextmanager
    def over(self, seconds: float) -> Iterator[None]:
        """Let the block take `seconds` of real time."""
        self.expired = False
        before = signal.signal(signal.SIGALRM, self.ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def ring(self, signum: int, frame: FrameType | None) -> None:
        """The handler: cancel an async test once, raise in anything else or in one that does not end."""
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        if self.scope is None or self.token is None or self.expired:
            raise TimeoutError("the test did not end before its deadline")
        self.expired = True
        self.token.run_sync_soon(self.scope.cancel)

    def wrap(self, test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
        """The async test, in a scope that the alarm can cancel."""

        @functools.wraps(test)
        async def body(*args: object, **kwargs: object) -> None:
            self.token = trio.lowlevel.current_trio_token()
            try:
                with trio.CancelScope() as self.scope:
                    await test(*args, **kwargs)
            finally:
                self.scope = self.token = None
            if self.expired:
                raise TimeoutError("the test did not end before its deadline")

        return body


WATCH = Watch()


def _is_async(item: pytest.Item) -> bool:
    return item.get_closest_marker("trio") is not None


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("deadline")
    if marker is not None:
        return float(marker.args[0])
    return ASYNC_DEADLINE_S if _is_async(item) else DEADLINE_S


def _run_in_memory(body: Callable[[], Awaitable[None]], **options: Any) -> None:
    from tests.harness.places import run_in_memory  # imports all of chatd, which few runs of one test need

    run_in_memory(body, **options)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nodes are in memory unless a test is marked `loopback`.

    Hundreds of examples are not traced for coverage, which doubles what they cost: single tests reach the same.
    """
    for item in items:
        if "network" in getattr(item, "fixturenames", ()) and item.get_closest_marker("loopback") is None:
            item.add_marker(pytest.mark.trio(run=_run_in_memory), append=False)  # before pytest-trio's own
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Function) -> Generator[None, object, object]:
    """Runs around pytest-trio's own hook, which takes the wrapped test for the test."""
    if _is_async(item):
        hypothesis = getattr(item.obj, "hypothesis", None)
        if hypothesis is None:
            item.obj = WATCH.wrap(item.obj)
        elif inspect.iscoroutinefunction(hypothesis.inner_test):
            hypothesis.inner_test = WATCH.wrap(hypothesis.inner_test)
    with WATCH.over(_seconds(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Fixtures have the longer of the two times."""
    with WATCH.over(max(_seconds(item), DEADLINE_S)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """As for setup."""
    with WATCH.over(max(_seconds(item), DEADLINE_S)):
        return (yield)


def _no_skips() -> bool:
    return os.environ.get("TEST_NO_SKIP", "") not in ("", "0")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With TEST_NO_SKIP=1 a test that is skipped, or expected to fail, is a failed one."""
    report = yield
    if _no_skips() and (report.skipped or hasattr(report, "wasxfail")):
        vars(report).pop("wasxfail", None)
        report.outcome = "failed"
        report.longrepr = f"skipped, and TEST_NO_SKIP is set: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself as a whole."""
    report = yield
    if _no_skips() and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, and TEST_NO_SKIP is set: {report.longrepr}"
    return report
