"""The rules of the package's layout that no linter checks."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("ssl_audio/**/*.py"), *ROOT.glob("tools/*.py")])
ROOMS = sorted(p.parent for p in ROOT.glob("ssl_audio/*/__init__.py"))
MAX_FILE, MAX_FUNCTION, MAX_COMMAND = 400, 60, 60  # lines


@cache
def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_and_functions_are_short() -> None:
    for path in SOURCES:
        assert len(path.read_text().splitlines()) <= MAX_FILE, name(path)
        for node in functions(path):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION, (name(path), node.name)


def test_settings_are_typed() -> None:
    for path in SOURCES:
        assert not re.search(r"""\bsettings\[["']""", path.read_text()), name(path)
        for node in functions(path):
            for argument in (*node.args.args, *node.args.kwonlyargs):
                if argument.arg == "settings" and argument.annotation is not None:
                    assert "Mapping" not in ast.unparse(argument.annotation), node.name


@pytest.mark.parametrize("room", ROOMS, ids=name)
def test_every_room_has_a_readme(room: Path) -> None:
    text = (room / "README.md").read_text()
    assert 15 <= len(text.splitlines()) <= 90
    assert "Add a" in text or "add one" in text.lower()


def test_commands_are_short() -> None:
    for path in ROOT.glob("ssl_audio/*.py"):
        if path.stem not in ("__init__", "__main__", "hear"):
            assert len(path.read_text().splitlines()) <= MAX_COMMAND, name(path)


def test_no_room_for_everything_else() -> None:
    assert not [
        name(p) for p in SOURCES if p.stem in ("utils", "util", "helpers", "misc", "common")
    ]


def test_the_top_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
