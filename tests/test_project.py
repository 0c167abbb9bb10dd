"""What README, Makefile, requirements, image and unit promise, and the rules of the test run itself."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from chatctl.cli.table import SUMMARY
from chatd import failures
from chatd.failures import AddressInUse, AlreadyRunning, StartupFailure, StorageFailure, StorageFull

ROOT = Path(__file__).parent.parent
NURSERY_HOMES = ("__main__.py", "daemon.py", "net/", "control/")
CORE = ("journal", "peers", "messages", "rooms", "query")
TIMERS = ("sleep", "sleep_until", "fail_after", "move_on_after", "fail_at", "move_on_at", "open_nursery")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def trio_calls(folder: str) -> Iterator[tuple[str, set[str]]]:
    """Each file of the folder, with the names that it calls as `trio.NAME`."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield str(path.relative_to(ROOT)), set(re.findall(r"\btrio\.(\w+)\(", path.read_text(encoding="utf-8")))


RULES = """
import subprocess, sys, threading
import pytest, trio, trio.testing

@pytest.mark.deadline(0.05)
async def test_real_clock():
    await trio.sleep_forever()

@pytest.mark.deadline(0.05)
async def test_mock_clock(mock_clock):
    await trio.sleep(1)

@pytest.mark.deadline(5)
async def test_autojump_clock(autojump_clock):
    await trio.sleep(1000)

@pytest.mark.deadline(0.05)
def test_blocking():
    threading.Event().wait()

def test_interrupt():
    child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.run([sys.executable, "-Ic", child], capture_output=True, text=True).stdout == "True\\n"

def test_skipped():
    pytest.skip("no reason")

@pytest.mark.xfail
def test_expected_to_fail():
    raise AssertionError
"""


def run_rules(folder: Path, *words: str, **env: str) -> tuple[int, str]:
    """Run RULES as a test file under the real conftest; its exit status and what it printed."""
    (folder / "conftest.py").write_text(text("tests/conftest.py"), encoding="utf-8")
    (folder / "test_it.py").write_text(RULES, encoding="utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\ntrio_mode = true\nmarkers =\n    deadline(seconds): see conftest\n", encoding="utf-8"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TEST_NO_SKIP", "COVERAGE_"))}
    without = [word for name in ("cacheprovider", "cov", "xdist") for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *without, "-q", "-rA", "--assert=plain", str(folder), *words],
        cwd=folder,
        env={**clean, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What RULES print when they are run by a background shell, which ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status, output = run_rules(tmp_path_factory.mktemp("rules"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 1, output
    return output


def test_an_async_test_that_hangs_is_ended_by_its_deadline(rules: str) -> None:
    assert re.search(r"^FAILED test_it.py::test_real_clock - TimeoutError.*did not end before", rules, re.MULTILINE)
    assert re.search(r"^FAILED test_it.py::test_mock_clock - TimeoutError.*did not end before", rules, re.MULTILINE)
    assert "PASSED test_it.py::test_autojump_clock\n" in rules


def test_a_blocking_test_that_hangs_is_ended_by_its_deadline(rules: str) -> None:
    assert re.search(r"^FAILED test_it.py::test_blocking - TimeoutError.*did not end before", rules, re.MULTILINE)


def test_an_interrupt_is_heard_though_a_background_shell_ignores_it(rules: str) -> None:
    assert "PASSED test_it.py::test_interrupt\n" in rules


def test_in_ci_a_skip_is_a_failure_and_so_is_one_that_was_expected(rules: str, tmp_path: Path) -> None:
    assert "3 failed, 2 passed, 1 skipped, 1 xfailed" in rules
    status, output = run_rules(tmp_path, "-k", "skipped or expected", TEST_NO_SKIP="1")
    assert status == 1
    assert "2 failed, 5 deselected" in output


@pytest.mark.parametrize("command", ["make run", "make test", "docker compose up -d --wait", "systemctl enable --now"])
def test_the_readme_shows_the_commands(command: str) -> None:
    assert command in text("README.md")


def test_every_file_that_the_readme_names_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text("README.md"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_names_every_verb_of_chatctl() -> None:
    shown = text("README.md")
    assert [verb for verb in SUMMARY if not re.search(f"`{verb}[` ]", shown)] == []


def test_the_makefile_has_its_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert targets >= {"run", "test", "check", "lint", "bench", "format", "help", "clean"}
    assert targets == set(re.findall(r"^\.PHONY: (.*)$", text("Makefile"), re.MULTILINE)[0].split())


def test_the_requirements_are_exact_and_name_no_host() -> None:
    lines = [line for line in text("requirements-dev.txt").splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line)] == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    wanted += [name for name in project["optional-dependencies"]["dev"] if not name.startswith("chatd[")]
    names = {re.split(r"[<>=]", each)[0] for each in wanted}
    pinned = {line.split("==")[0] for line in text("requirements-dev.txt").splitlines()}
    assert names - pinned == set()


def pins(name: str) -> dict[str, str]:
    """The exact versions in a requirements file, by normalized name."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([A-Za-z0-9.]+)", text(name), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", project).lower(): version for project, version in found}


def needed_by(names: Iterable[str]) -> set[str]:
    """Those projects and everything that they need on Linux, as it is installed here."""
    found, left = set[str](), list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name not in found:
            found.add(name)
            wanted = (Requirement(each) for each in metadata.requires(name) or ())
            left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def test_the_image_installs_everything_that_is_needed_by_hash_in_the_versions_of_development() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    image = pins("requirements-image.txt")
    assert set(image) == needed_by(Requirement(each).name for each in project["dependencies"])
    assert image.items() <= pins("requirements-dev.txt").items()
    blocks = re.split(r"^(?=\w)", text("requirements-image.txt").partition("\nattrs")[2], flags=re.MULTILINE)
    assert [block for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}$", block, re.MULTILINE)] == []
    assert "--require-hashes" in text("Dockerfile")
    assert "!requirements-image.txt" in text(".dockerignore").splitlines()


def test_every_service_of_the_compose_file_shows_the_chat_in_a_log_that_rotates() -> None:
    compose = text("docker-compose.yml")
    for line in ("  CHATD_LOG_FORMAT: ${CHATD_LOG_FORMAT:-text}", "  CHATD_LOG_MESSAGES: ${CHATD_LOG_MESSAGES:-1}"):
        assert line in compose.partition("x-settings: &settings\n")[2].partition("\n\n")[0].splitlines()
    services = re.findall(r"^    environment:\n      (.*)$", compose, re.MULTILINE)
    assert set(services) == {"<<: *settings"}
    assert "    driver: local " in compose.partition("\nx-settings:")[0]


def test_every_service_of_the_compose_file_has_limits() -> None:
    compose = text("docker-compose.yml")
    assert re.search(r"^x-chatd: &chatd\n(  .*\n)*  pids_limit: \d+ .*\n  mem_limit: \d+m ", compose, re.MULTILINE)
    services = re.findall(r"^  \w+:\n    (.*)$", compose.partition("\nservices:\n")[2], re.MULTILINE)
    assert len(services) >= 6
    assert set(services) == {"<<: *chatd"}


def test_the_image_runs_as_nobody_special_and_is_asked_for_its_health() -> None:
    dockerfile = text("Dockerfile")
    for line in (
        "USER 10001",
        "VOLUME /var/lib/chatd",
        'ENTRYPOINT ["chatd"]',
        "EXPOSE 7420",
        "HEALTHCHECK --interval=5s",
        "STOPSIGNAL SIGTERM",
    ):
        assert line in dockerfile
    assert "start_interval" not in dockerfile
    assert "start-interval" not in dockerfile


def test_the_unit_waits_for_exec_and_owns_its_directories() -> None:
    unit = text("packaging/chatd.service").splitlines()
    for line in ("Type=exec", "DynamicUser=yes", "StateDirectory=chatd", "RuntimeDirectory=chatd"):
        assert line in unit


def test_the_unit_starts_a_node_again_unless_that_mends_nothing() -> None:
    unit = text("packaging/chatd.service").splitlines()
    assert "Restart=on-failure" in unit
    (final,) = [line for line in unit if line.startswith("RestartPreventExitStatus=")]
    temporary = {StartupFailure.exit_code, AddressInUse.exit_code, StorageFull.exit_code}
    assert set(map(int, final.partition("=")[2].split())) == {2, AlreadyRunning.exit_code, StorageFailure.exit_code}
    assert not temporary & set(map(int, final.partition("=")[2].split()))


def test_every_exit_status_is_in_the_table_of_the_document() -> None:
    rows = re.findall(r"^\| (\d+) \|", text("docs/operations.md"), re.MULTILINE)
    kinds = [kind for kind in vars(failures).values() if isinstance(kind, type) and issubclass(kind, StartupFailure)]
    assert sorted(map(int, rows)) == sorted({0, 2} | {kind.exit_code for kind in kinds})


def test_nurseries_are_opened_only_in_main_daemon_net_and_control() -> None:
    homes = tuple(f"chatd/{home}" for home in NURSERY_HOMES)
    found = [name for name, calls in trio_calls("chatd") if "open_nursery" in calls]
    assert found
    assert [name for name in found if not name.startswith(homes)] == []


def test_the_core_has_no_timers_and_no_nurseries() -> None:
    found = {name: calls & set(TIMERS) for part in CORE for name, calls in trio_calls(f"chatd/{part}")}
    assert found
    assert {name: calls for name, calls in found.items() if calls} == {}
