"""Documents for maintainers: the files, tests and pages that they name exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    path.relative_to(ROOT).as_posix() for path in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md")
]
FOLDERS = ("chatd", "chatctl", "tests", "docs", "bench", "examples", "packaging")
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def missing_paths(document: str) -> list[str]:
    """Paths in backticks, from one of FOLDERS on, that do not exist. NAME in capitals stands for any name."""
    found = [span for span in SPAN.findall(document) if re.match(rf"({'|'.join(FOLDERS)})/(?!\d+$)\S*$", span)]
    patterns = {span: re.sub(r"\b[A-Z]+\b", "*", span).rstrip("/") for span in found}
    return [span for span, pattern in patterns.items() if not any(ROOT.glob(pattern))]


def missing_tests(document: str) -> list[str]:
    """Test functions in backticks that are not in the file that was named last before them."""
    source, where, missing = "", "no file", []
    for span in SPAN.findall(document):
        if re.fullmatch(r"tests/\S+\.py", span):
            where, source = span, text(span) if (ROOT / span).exists() else ""
        elif re.fullmatch(r"test_\w+", span) and not re.search(rf"^(async )?def {span}\(", source, re.MULTILINE):
            missing.append(f"{where}::{span}")
    return missing


def anchors(document: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = (title.replace("`", "").lower() for title in HEADING.findall(document))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def missing_links(page: str, document: str) -> Iterator[str]:
    """Relative links that lead nowhere: no such file, or no such heading in it."""
    for link in LINK.findall(document):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", target):
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            yield link


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    assert missing_paths(text(page)) == []


@pytest.mark.parametrize("page", [*PAGES, "README.md", "CHANGELOG.md", "SECURITY.md"])
def test_every_relative_link_of_a_page_leads_somewhere(page: str) -> None:
    assert list(missing_links(page, text(page))) == []


def test_every_test_that_the_delivery_rules_name_exists() -> None:
    document = text("docs/delivery.md")
    assert "`test_" in document
    assert missing_tests(document) == []


def test_every_delivery_rule_has_a_reason_and_a_test() -> None:
    rules = re.split(r"^\*\*(?=[A-Z]\d+\. )", text("docs/delivery.md"), flags=re.MULTILINE)[1:]
    assert len(rules) > 30
    assert [rule.partition(" ")[0] for rule in rules if "- Why: " not in rule or "`test_" not in rule] == []


def test_every_page_is_listed_in_the_readme_or_the_guide_for_contributors() -> None:
    linked = {
        target.rpartition("/")[2] for page in ("README.md", "CONTRIBUTING.md") for target in LINK.findall(text(page))
    }
    assert [page for page in PAGES if page.rpartition("/")[2] not in linked] == []


def test_what_does_not_exist_is_found() -> None:
    assert missing_paths("`chatd/nowhere.py` and `chatd/daemon.py`, `tests/*/test_nowhere_*.py`") == [
        "chatd/nowhere.py",
        "tests/*/test_nowhere_*.py",
    ]
    document = "`tests/test_main.py`: `test_that_is_not_there`, `test_logging_is_set_up_as_configured`"
    assert missing_tests(document) == ["tests/test_main.py::test_that_is_not_there"]
    page = "[a](nowhere.md) [b](wire.md#nowhere) [c](wire.md#frames) [d](#nowhere) [e](https://example.org/x)"
    assert list(missing_links("docs/rooms.md", page)) == ["nowhere.md", "wire.md#nowhere", "#nowhere"]
