"""The sdist, the wheel and the hooks: what they contain, and that an installed chatd works without this repository."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from chatctl.cli.table import SUMMARY
from chatd import __version__
from chatd.config.loading import NOT_IN_FILES, load
from chatd.config.settings import SETTINGS
from tests.harness.processes import Failed, Node, environment, processing
from tests.harness.until import PATIENCE_S

ROOT = Path(__file__).parent.parent
SHARED = {
    "bash-completion/completions/chatctl": "packaging/completions/chatctl.bash",
    "fish/vendor_completions.d/chatctl.fish": "packaging/completions/chatctl.fish",
    "systemd/system/chatd.service": "packaging/chatd.service",
    "zsh/site-functions/_chatctl": "packaging/completions/_chatctl",
}


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build an `sdist` or a `wheel` with the hatchling that is installed here; the only file in the folder."""
    words = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    subprocess.run(words, cwd=source, check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    packed = build("sdist", ROOT, tmp_path_factory.mktemp("packed"))
    subprocess.run(["tar", "-xzf", packed, "-C", folder], check=True)
    return folder / f"chatd-{__version__}"


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that is built from the source distribution alone."""
    return build("wheel", sdist, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def content(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as packed:
        yield packed


@pytest.fixture(scope="module")
def man(content: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The man pages of the wheel, by name: `chatctl.1`."""
    start = f"chatd-{__version__}.data/data/share/man/"
    found = [name for name in content.namelist() if name.startswith(start)]
    folder = tmp_path_factory.mktemp("man")
    return {name.rpartition("/")[2]: Path(content.extract(name, folder)) for name in found}


def described(content: zipfile.ZipFile) -> Message:
    """The metadata of the wheel."""
    return Parser().parsestr(content.read(f"chatd-{__version__}.dist-info/METADATA").decode())


class Installed(Node):
    """A node of the two programs in the `bin` of a virtual environment, which see nothing of this repository."""

    def __init__(self, name: str, programs: Path) -> None:
        super().__init__(name)
        self.programs = programs
        inherited = environment(self.folder).items()
        self.env = {name: value for name, value in inherited if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}

    def begin(self, *flags: str, fresh: bool = True) -> None:
        words = [str(self.programs / "chatd"), *self.command(*flags)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )

    def output(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [str(self.programs / "chatctl"), "--socket", str(self.socket), *words],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(done.returncode, done.stderr)
        return done.stdout


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel into a new virtual environment, with the pinned dependencies; the folder of its programs."""
    venv.create(folder, with_pip=True)
    words = ["install", "--quiet", "--disable-pip-version-check", "--constraint", str(ROOT / "requirements-dev.txt")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([folder / "bin" / "pip", *words, str(wheel)], cwd=folder, env=clean, check=True)
    return folder / "bin"


@pytest.mark.long
@pytest.mark.deadline(600)
def test_two_nodes_of_an_installed_wheel_exchange_messages(wheel: Path, tmp_path: Path) -> None:
    programs = install(wheel, tmp_path / "venv")
    with processing() as nodes:
        alice, bob = (nodes.add(Installed(name, programs)) for name in ("alice", "bob"))
        for node in (alice, bob):
            node.start()
        alice.output("connect", "127.0.0.1", str(bob.port))
        alice.output("send", "--wait", "delivered", "bob", "hi")
        bob.output("send", "--wait", "delivered", "alice", "hi yourself")
        assert [event["text"] for event in bob.events("history")] == ["hi", "hi yourself"]
        assert [event["text"] for event in alice.events("history")] == ["hi", "hi yourself"]
        alice.output("exit")
        alice.ends()


@pytest.mark.long
def test_a_wheel_has_completions_and_the_unit_under_share(content: zipfile.ZipFile) -> None:
    share = f"chatd-{__version__}.data/data/share/"
    found = {name.removeprefix(share) for name in content.namelist() if name.startswith(share)}
    assert {name for name in found if not name.startswith("man/")} == set(SHARED)
    for name, source in SHARED.items():
        assert content.read(share + name) == (ROOT / source).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("package", ["chatd", "chatctl"])
def test_a_wheel_has_every_module_of_a_package_and_tells_that_it_is_typed(
    content: zipfile.ZipFile, package: str
) -> None:
    found = {name for name in content.namelist() if name.startswith(f"{package}/")}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
    assert found == modules | {f"{package}/py.typed"}


@pytest.mark.long
def test_a_wheel_tells_its_licence_its_authors_and_that_it_is_typed(content: zipfile.ZipFile) -> None:
    metadata = described(content)
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Author"] == metadata["Maintainer"] == "The chatd contributors"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert content.read(f"chatd-{__version__}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


@pytest.mark.long
def test_every_verb_has_a_man_page_and_so_have_the_daemon_and_its_file(man: dict[str, Path]) -> None:
    assert man.keys() >= {f"chatctl-{verb}.1" for verb in SUMMARY} | {"chatctl.1", "chatd.1", "chatd.toml.5"}
    assert "chatctl-room-host.1" in man
    assert {path.parent.name for path in man.values()} == {"man1", "man5"}


@pytest.mark.long
def test_the_man_pages_are_sound(man: dict[str, Path]) -> None:
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run([mandoc, "-T", "lint", *man.values()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.long
def test_the_man_page_of_the_file_has_every_key_and_an_example_that_is_accepted(
    man: dict[str, Path], tmp_path: Path
) -> None:
    roff = man["chatd.toml.5"].read_text().replace("\\-", "-")
    settings, _, example = roff.partition(".SH SETTINGS\n")[2].partition(".SH EXAMPLES\n")
    assert set(re.findall(r"^\.TP\n\\fB(\w+)\\fR", settings, re.MULTILINE)) == SETTINGS.keys() - NOT_IN_FILES
    file = tmp_path / "alice.toml"
    file.write_text(example.partition(".nf\n")[2].partition(".fi\n")[0], encoding="utf-8")
    assert load(["--config", str(file)], {}).config.name == "alice"


@pytest.mark.long
def test_an_sdist_has_the_documents_that_a_reader_looks_for(sdist: Path) -> None:
    assert {path.name for path in sdist.iterdir()} >= {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "docs",
        "examples",
    }


def test_the_changelog_has_an_entry_for_this_version() -> None:
    headings = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert __version__ in headings


def test_the_image_is_built_from_everything_that_the_wheel_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {source.partition("/")[0] for source in shared}
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert needed - set(" ".join(copied).split()) == set()
    assert needed - {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()} == set()


def test_the_hooks_are_the_linters_of_make_lint() -> None:
    hooks = re.findall(r"^ +entry: (.+)$", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    recipe = re.search(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    assert hooks == recipe[1].replace("$(BIN)", ".venv/bin").replace("\t", "").splitlines()
