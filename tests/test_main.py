import logging
import os
import resource
import signal
import subprocess
import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

import chatd
from chatd import __main__ as command
from chatd import logs
from chatd.config.loading import load
from chatd.config.settings import Config
from chatd.failures import AddressInUse, AlreadyRunning, StartupFailure, StorageFailure, StorageFull
from chatd.node import Node
from chatd.paths import PathError
from chatd.runtime import Runtime

Opened = Callable[[Node], None]
Run = Callable[[Config, Runtime, Opened], Awaitable[None]]


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Logging, umask and environment of the test run stay as they are."""
    for variable in [name for name in os.environ if name.startswith("CHATD_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("CHATD_NODE", "testnode")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("chatd.logs.setup", lambda *settings: None)
    before = os.umask(0o022)
    yield
    os.umask(before)


def run_daemon(monkeypatch: pytest.MonkeyPatch, run: Run, *argv: str) -> int:
    """The exit status of a chatd whose daemon is `run`."""
    monkeypatch.setattr(chatd, "daemon", types.SimpleNamespace(run=run), raising=False)
    return command.main(argv)


def ending(error: BaseException) -> Run:
    async def run(config: Config, runtime: Runtime, opened: Opened) -> None:
        raise error

    return run


def python(code: str, *argv: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command_line = [sys.executable, "-c", code, *argv]
    done = subprocess.run(command_line, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_a_daemon_that_stops_is_0_and_got_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    async def run(config: Config, runtime: Runtime, opened: Opened) -> None:
        await trio.lowlevel.checkpoint()
        seen.extend((config.max_links, type(runtime), os.umask(0o077)))

    assert run_daemon(monkeypatch, run, "--max-links", "5") == 0
    assert seen == [5, Runtime, 0o077]


def test_the_first_signal_stops_in_order_and_a_second_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_collect_garbage_rarely", lambda: None)
    done, asked = trio.open_memory_channel[str](10)

    class Stopped:
        stop_reason = ""

        def request_stop(self, reason: str) -> None:
            self.stop_reason = reason
            done.send_nowait(reason)

        def stop_at_once(self) -> None:
            done.send_nowait("at once")

    async def run(config: Config, runtime: Runtime, opened: Opened) -> None:
        opened(cast(Node, Stopped()))
        await trio.testing.wait_all_tasks_blocked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asked.receive() == "signal"
        os.kill(os.getpid(), signal.SIGINT)
        assert await asked.receive() == "at once"

    assert run_daemon(monkeypatch, run) == 0


def test_the_first_log_line_tells_what_starts_and_fits_on_80_columns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chatd")
    assert run_daemon(monkeypatch, ending(AddressInUse("x"))) == 5
    line = logs.TextFormatter().format(caplog.records[0])
    assert line.endswith(f"node testnode starting (chatd {chatd.__version__})")
    assert len(line) <= 80


def test_logging_is_set_up_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr("chatd.logs.setup", lambda *settings: seen.append(settings))
    assert run_daemon(monkeypatch, ending(AddressInUse("x")), "--log-level=debug", "--log-format=json") == 5
    assert seen == [("debug", "json")]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StartupFailure("it is so"), 1),
        (PathError("it is so"), 2),
        (AlreadyRunning("it is so"), 3),
        (StorageFailure("it is so"), 4),
        (AddressInUse("it is so"), 5),
        (StorageFull("it is so"), 75),
    ],
)
def test_each_failure_has_its_exit_status_and_one_line_even_in_groups(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    nested = BaseExceptionGroup("a", [trio.BrokenResourceError(), ExceptionGroup("b", [error]), KeyboardInterrupt()])
    for raised in (error, nested):
        assert run_daemon(monkeypatch, ending(raised)) == status
        assert capfd.readouterr() == ("", "chatd: it is so\n")


def test_an_error_that_nobody_expected_is_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_daemon(monkeypatch, ending(ExceptionGroup("a", [ValueError("odd"), KeyError()]))) == 1
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "ValueError: odd" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("a", [KeyboardInterrupt()])])
def test_an_interrupt_before_the_daemon_listens_for_it_is_130(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert run_daemon(monkeypatch, ending(error)) == 130
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_while_modules_load_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_open_standard_streams", interrupt)
    assert command.main([]) == 130


def test_a_wrong_flag_is_2_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--lisen", "x"]) == 2
    assert capfd.readouterr() == ("", "chatd: --lisen: unknown flag (did you mean --listen?)\n")


def test_a_message_stays_on_its_line_and_moves_no_cursor(capfd: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--config", "/a\nb\x1b[2J"]) == 2
    assert capfd.readouterr().err == (
        "chatd: configuration file /a\\nb\\x1b[2J does not exist (create it, e.g. with chatd --print-config)\n"
    )


def test_help_and_version_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    assert capfd.readouterr().out.startswith("usage: chatd ")
    assert command.main(["--version"]) == 0
    assert capfd.readouterr() == (f"chatd {chatd.__version__}\n", "")


def test_check_config_shows_each_value_and_where_it_came_from(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATD_TRUST", "known")
    assert command.main(["--check-config", "--max-links", "5"]) == 0
    lines = [line.rpartition("#") for line in capfd.readouterr().out.splitlines()]
    found = {setting.strip(): origin.strip() for setting, _, origin in lines}
    assert found["max_links = 5"] == "--max-links"
    assert found['trust = "known"'] == "CHATD_TRUST"
    assert found["sessions = 256"] == "default"
    monkeypatch.setenv("CHATD_TRUST", "x")
    assert command.main(["--check-config"]) == 2


def test_print_config_ignores_what_is_configured_and_prints_what_its_flags_set(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATD_TRUST", "x")
    assert command.main(["--print-config", "--sessions", "5"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["sessions = 5"]
    assert '#trust = "open"' in lines
    assert command.main(["--print-config", "--sessions", "0"]) == 2


@pytest.mark.parametrize("flag", ["--help", "--check-config", "--print-config"])
def test_what_only_prints_loads_neither_trio_nor_logging(flag: str) -> None:
    code = (
        "import sys; from chatd.__main__ import main; main(sys.argv[1:]); print({'trio', 'logging'} & set(sys.modules))"
    )
    assert python(code, flag).stdout.endswith("\nset()\n")


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "chatd", "--nope"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chatd: --nope: unknown flag")


def test_nobody_is_told_when_nobody_reads_the_help() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = python("import sys; from chatd.__main__ import main; sys.exit(main(['--help']))", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_standard_streams_that_were_closed_are_not_given_to_the_next_file() -> None:
    code = (
        "import os; from chatd.__main__ import _open_standard_streams as hold\n"
        "out = os.dup(1)\n"
        "for each in (0, 1, 2): os.close(each)\n"
        "hold()\n"
        "null = os.stat(os.devnull).st_rdev\n"
        "os.write(out, repr([os.fstat(each).st_rdev == null for each in (0, 1, 2)]).encode())\n"
    )
    assert python(code).stdout == "[True, True, True]"


def test_the_limit_of_open_files_is_raised_as_far_as_it_may() -> None:
    code = (
        "import resource; from chatd.__main__ import _raise_file_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, 300))\n"
        "print(_raise_file_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    assert python(code).stdout == "300 (300, 300)\n"


def test_a_limit_of_open_files_that_is_high_enough_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    for soft, hard in ((65536, 1 << 20), (resource.RLIM_INFINITY, resource.RLIM_INFINITY), (1024, 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, limits=(soft, hard): limits)
        assert command._raise_file_limit() == min(soft if soft > 0 else 65536, 65536)
    assert asked == []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, resource.RLIM_INFINITY))
    assert command._raise_file_limit() == 65536
    assert asked == [(65536, resource.RLIM_INFINITY)]


@pytest.mark.parametrize(
    ("files", "sessions", "links", "fits"),
    [
        (65536, 256, 1024, 1024),
        (1378, 256, 1024, 1024),
        (1377, 256, 1024, 1023),
        (1024, 256, 1024, 670),
        (256, 256, 1024, 79),
        (64, 256, 1024, 1),
        (64, 256, 1, 1),
    ],
)
def test_there_are_as_many_links_as_there_are_descriptors_for(
    files: int, sessions: int, links: int, fits: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = load(["--sessions", str(sessions), "--max-links", str(links)], {}).config
    assert command._fit_max_links(config, files).max_links == fits
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (fits < links)
    assert all(text.startswith(f"max_links lowered from {links} to {fits}: ") for text in told)
