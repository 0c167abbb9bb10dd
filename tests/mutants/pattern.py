"""Patterns: Python source that is found in a function, and replaced, on the syntax tree.

Formatting and comments make no difference. A pattern is one expression, or one or several consecutive statements, and
has to be in its function exactly once. The string `"…two…"` stands for every string that contains `two`, which becomes
what is in the replacement: `"…three…"`. Knows no mutants.
"""

import ast
from textwrap import dedent
from threading import Lock

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
BODIES = ("body", "orelse", "finalbody")  # the fields of a node that hold statements
ANY = "…"
ONE_PARSER = Lock()  # in Python 3.11 a parse raises SystemError if another thread parses in the middle of it


class NoMatch(Exception):
    """There is no such function or pattern, or more than one."""


def replace(source: str, function: str, old: str, new: str) -> str:
    """Return the source of a module in which `old`, inside `function`, has become `new`. Raises NoMatch.

    `function` is a qualified name, e.g. `Journal.append`. The name of a class, or no name, means the statements of that
    class, or of the module, without the functions and classes in them. An empty `new` deletes the statements.
    """
    with ONE_PARSER:
        return _replace(source, function, old, new)


def _replace(source: str, function: str, old: str, new: str) -> str:
    tree = ast.parse(source)
    scope = _find(tree, function)
    before, after = _expression(old), _expression(new)
    replacer: _Replacer
    if before is None or after is None:
        replacer = _Statements(_statements(old), _statements(new))
    else:
        replacer = _Expressions(before, after)
    replacer.enters_definitions = isinstance(scope, FUNCTIONS)
    replacer.generic_visit(scope)
    if replacer.count != 1:
        raise NoMatch(f"the pattern is in {function or 'the module'} {replacer.count} times, not once: {old}")
    return ast.unparse(tree)


def _find(tree: ast.Module, function: str) -> ast.AST:
    found: ast.AST = tree
    for name in filter(None, function.split(".")):
        named = [node for node in _definitions(found) if node.name == name]
        if len(named) != 1:
            raise NoMatch(f"{function} is defined {len(named)} times, not once")
        found = named[0]
    return found


def _definitions(scope: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Functions and classes in the scope, without those inside of them."""
    found = []
    for node in ast.iter_child_nodes(scope):
        found += [node] if isinstance(node, DEFINITIONS) else _definitions(node)
    return found


def _expression(source: str) -> ast.expr | None:
    try:
        return ast.parse(source.strip(), mode="eval").body
    except SyntaxError:
        return None


def _statements(source: str) -> list[ast.stmt]:
    return ast.parse(dedent(source)).body


class _Replacer(ast.NodeTransformer):
    """Replaces the pattern wherever it is, and counts."""

    count = 0
    enters_definitions = True

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, DEFINITIONS) and not self.enters_definitions:
            return node
        return self.generic_visit(node)


class _Expressions(_Replacer):
    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self._old = old
        self._new = new
        self._texts = _middle(old), _middle(new)

    def visit(self, node: ast.AST) -> ast.AST:
        old, new = self._texts
        if old and new and isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.count += node.value.count(old)
            return ast.Constant(node.value.replace(old, new))
        if _equal(node, self._old):
            self.count += 1
            return self._new
        return super().visit(node)


class _Statements(_Replacer):
    def __init__(self, old: list[ast.stmt], new: list[ast.stmt]) -> None:
        self._old = old
        self._new = new

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for body in [getattr(node, field, None) for field in BODIES]:
            if isinstance(body, list):
                self._replace_in(body)
        return super().generic_visit(node)

    def _replace_in(self, body: list[ast.stmt]) -> None:
        length = len(self._old)
        for at in reversed(range(len(body) - length + 1)):
            if all(map(_equal, body[at : at + length], self._old)):
                self.count += 1
                body[at : at + length] = self._new or ([ast.Pass()] if length == len(body) else [])


def _equal(one: ast.AST, other: ast.AST) -> bool:
    return type(one) is type(other) and ast.dump(one) == ast.dump(other)


def _middle(expression: ast.expr) -> str:
    """The text between ANY and ANY; an empty one for any other expression."""
    text = expression.value if isinstance(expression, ast.Constant) else ""
    return text[1:-1] if isinstance(text, str) and text[:1] == text[-1:] == ANY else ""
