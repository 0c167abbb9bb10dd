"""Every log line of the daemon: its values are fields, and docs/logs.md lists it with its level."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "critical"}
LEVELS |= {"exception": "error"}
PLACEHOLDER = re.compile(r"%\((\w+)\)(?:\.\d+)?[sdg]")
ROW = re.compile(r"^\| `([^`]+)` \| (debug|info|warning|error|critical) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
Line = tuple[str, str]  # level, text with placeholders


def is_log(value: ast.expr) -> bool:
    """`log`, or `logging.getLogger(…)`."""
    return ast.unparse(value) == "log" or ast.unparse(value).startswith("logging.getLogger(")


def text_of(node: ast.expr, function: ast.AST) -> str:
    """A literal, or a name that the same function sets to one."""
    if isinstance(node, ast.Name):
        values = [
            each.value
            for each in ast.walk(function)
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == node.id
        ]
        assert len(values) == 1, f"{node.id} has several values"
        node = values[0]
    return str(ast.literal_eval(node))


def lines_of(source: str) -> Iterator[tuple[Line, list[ast.expr]]]:
    """The log calls of a module: level, text and further arguments."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for function in functions:
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            name = call.func.attr
            if name in LEVELS and is_log(call.func.value):
                yield (LEVELS[name], text_of(call.args[0], function)), call.args[1:]
            elif name == "LogRecord":
                assert isinstance(call.args[5], ast.Tuple)
                yield ("warning", text_of(call.args[4], function)), call.args[5].elts


MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "chatd").rglob("*.py"))
CALLS = [(module, *call) for module in MODULES for call in lines_of((ROOT / module).read_text(encoding="utf-8"))]


def as_documented(line: Line) -> Line:
    level, text = line
    return level, PLACEHOLDER.sub(lambda found: found[1].upper(), text)


def test_the_page_lists_every_line_of_the_daemon_and_no_other() -> None:
    page = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
    listed = [(level, text) for text, level in ROW.findall(page)]
    assert len(listed) == len(set(listed))
    assert set(listed) == {as_documented(line) for _, line, _ in CALLS}


def test_no_log_call_is_overlooked() -> None:
    """Each module that has a logger logs, and nothing logs through another name."""
    loggers = {module for module in MODULES if "logging.getLogger(" in (ROOT / module).read_text(encoding="utf-8")}
    logging_modules = {module for module, *_ in CALLS}
    assert logging_modules == loggers


@pytest.mark.parametrize(("module", "line", "values"), CALLS)
def test_the_values_of_a_line_are_one_mapping_that_its_text_names(
    module: str, line: Line, values: list[ast.expr]
) -> None:
    _, text = line
    assert len(values) == bool(PLACEHOLDER.search(text)), f"{module}: {text}"
    assert "%" not in PLACEHOLDER.sub("", text), f"{module}: {text}"
    assert text[0].islower()
