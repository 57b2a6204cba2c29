"""No text in the code is lost: a string that forms its own statement documents something, or it is a mistake."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("lab", "harness", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]


def lost_strings(text: str) -> list[int]:
    """Lines with a string that is neither assigned, passed nor printed and that documents nothing.

    A sentence that continues on the next line without parentheses is cut off there, and no linter reports it.
    """
    found = []
    for node in ast.walk(ast.parse(text)):
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            before: ast.stmt | None = None
            for index, statement in enumerate(body if isinstance(body, list) else ()):
                if isinstance(statement, ast.Expr) and _is_text(statement.value):
                    documents = (index == 0 and isinstance(node, _DOCUMENTED)) or isinstance(before, _NAMED)
                    if not documents or isinstance(statement.value, ast.JoinedStr):
                        found.append(statement.lineno)
                before = statement
    return found


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (ast.Assign, ast.AnnAssign)


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str))


def test_code_has_no_lost_strings() -> None:
    assert len(FILES) > 300
    assert {str(path): lines for path in FILES if (lines := lost_strings(path.read_text("utf-8")))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    yield f'one {x} '\n    f'two'\n",
        "def f():\n    raise E('one')\n    'two'\n",
        "if x:\n    'two'\n",
        "def f():\n    '''Say.'''\n    return 'one'\n    'two'\n",
    ],
)
def test_string_cut_off_from_its_sentence_is_found(text: str) -> None:
    assert len(lost_strings(text)) == 1


def test_docstrings_are_not_lost_strings() -> None:
    assert (
        lost_strings(
            "'''A module.'''\nX = 1\n'''A constant.'''\nclass C:\n    '''A class.'''\n    y: int\n    '''A field.'''\n"
        )
        == []
    )
