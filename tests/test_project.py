"""What README, Makefile, requirements, image and unit promise, and the rules of the test run itself."""

import ast
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


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def trio_calls(tree: ast.Module) -> set[str]:
    """The names that are called as `trio.NAME`."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        func.attr
        for func in calls
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "trio"
    }


def run_pytest(folder: Path, source: str, **env: str) -> tuple[int, str]:
    """Run `source` as a test file under the real conftest; its exit status and what it printed."""
    (folder / "conftest.py").write_text(text("tests/conftest.py"), encoding="utf-8")
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\ntrio_mode = true\nmarkers =\n    deadline(seconds): see conftest\n", encoding="utf-8"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TEST_NO_SKIP", "COVERAGE_"))}
    without = [word for name in ("cacheprovider", "cov", "xdist") for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *without, "-q", str(folder)],
        cwd=folder,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_an_async_test_that_hangs_is_ended_by_its_deadline(tmp_path: Path) -> None:
    status, output = run_pytest(
        tmp_path,
        """
import pytest, trio, trio.testing

@pytest.mark.deadline(0.2)
async def test_real_clock():
    await trio.sleep_forever()

@pytest.mark.deadline(0.2)
async def test_mock_clock(mock_clock):
    await trio.sleep(1)

@pytest.mark.deadline(5)
async def test_in_time(autojump_clock):
    await trio.sleep(1000)
""",
    )
    assert status == 1
    assert "1 passed" in output
    assert "2 failed" in output
    assert "TimeoutError: the test did not end before its deadline" in output


def test_a_blocking_test_that_hangs_is_ended_by_its_deadline(tmp_path: Path) -> None:
    status, output = run_pytest(
        tmp_path,
        "import pytest, threading\n@pytest.mark.deadline(0.2)\ndef test_it():\n    threading.Event().wait()\n",
    )
    assert status == 1
    assert "1 failed" in output
    assert "TimeoutError: the test did not end before its deadline" in output


def test_in_ci_a_skip_is_a_failure_and_so_is_one_that_was_expected(tmp_path: Path) -> None:
    source = """
import pytest

def test_skipped():
    pytest.skip("no reason")

@pytest.mark.xfail
def test_expected_to_fail():
    raise AssertionError
"""
    assert run_pytest(tmp_path, source)[0] == 0
    status, output = run_pytest(tmp_path, source, TEST_NO_SKIP="1")
    assert status == 1
    assert "2 failed" in output


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
    assert targets >= {"run", "test", "test-long", "lint", "bench", "format", "help", "clean"}


def test_the_requirements_are_exact_and_name_no_host() -> None:
    lines = [line for line in text("requirements-dev.txt").splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line)] == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
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


def test_every_service_of_the_compose_file_has_limits() -> None:
    compose = text("docker-compose.yml")
    assert re.search(r"^x-chatd: &chatd\n(  .*\n)*  pids_limit: \d+ .*\n  mem_limit: \d+m ", compose, re.MULTILINE)
    services = re.findall(r"^  \w+:\n    (.*)$", compose.partition("\nservices:\n")[2], re.MULTILINE)
    assert len(services) >= 6
    assert set(services) == {"<<: *chatd"}


def test_an_interrupt_is_heard_though_a_background_shell_ignores_it(tmp_path: Path) -> None:
    source = """
import subprocess, sys

def test_it():
    child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout == "True\\n"
"""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status, output = run_pytest(tmp_path, source)
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 0, output


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
    found = [name for name, tree in sources("chatd") if "open_nursery" in trio_calls(tree)]
    assert [name for name in found if not name.startswith(homes)] == []


def test_the_core_has_no_timers_and_no_nurseries() -> None:
    found = {name: trio_calls(tree) & set(TIMERS) for part in CORE for name, tree in sources(f"chatd/{part}")}
    assert found
    assert {name: calls for name, calls in found.items() if calls} == {}
