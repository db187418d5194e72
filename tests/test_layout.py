"""The rules of the package's layout that no linter checks."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("ssl_audio/**/*.py"), *ROOT.glob("tools/*.py")])
ROOMS = sorted(p.parent for p in ROOT.glob("ssl_audio/*/__init__.py"))
MAX_FILE, MAX_FUNCTION, MAX_COMMAND = 400, 60, 60  # lines


# modules that run what they read or open files that may hold code; the one file that may use them
GUARDED = {
    **dict.fromkeys(("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")),
    "pickle": "ssl_audio/datasets/plain_pickle.py",  # refuses all but plain values
    "duckdb": "ssl_audio/recommenders/data/duckdb_file.py",  # without access to anything else
}
REFUSED = re.compile(
    r"(builtins\.)?(eval|exec|compile|__import__)|yaml\.(?!safe_|YAMLError)\w+|os\.(system|popen)"
    r"|torch\.hub\.load|(jinja2\.)?Template|\w+\.extractall|\w+\.load_from_checkpoint"
)
REQUIRED = {  # argument that a call must have
    "torch.load": ("weights_only", "True"), "Environment": ("autoescape", "True"),
    "duckdb.connect": ("config", "dict(CLOSED)"),
    "import_duckdb().connect": ("config", "dict(CLOSED)"), "trainer.fit": ("weights_only", "True"),
}  # fmt: skip
FORBIDDEN = {  # arguments that no call has
    ("allow_pickle", "True"), ("shell", "True"), ("trust_remote_code", "True"),
}  # fmt: skip
JUSTIFIED = re.compile(r"# noqa: S\d+ - \w+")


@cache
def nodes(code: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(code)))


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in nodes(path.read_text()) if isinstance(node, ast.FunctionDef)]


def dangers(code: str, where: str) -> list[str]:
    """What in a module could run code of a file that it reads; justified lines are left out."""
    found, lines = [], code.splitlines()
    for node in nodes(code):
        if isinstance(node, ast.expr) and JUSTIFIED.search(lines[node.lineno - 1]):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            roots = [name.split(".")[0] for name in names]
            found += [name for name in roots if name in GUARDED and GUARDED[name] != where]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {(key.arg, ast.unparse(key.value)) for key in node.keywords}
            missing = called in REQUIRED and REQUIRED[called] not in given
            if REFUSED.fullmatch(called) or given & FORBIDDEN or missing:
                found.append(called)
    return found


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


def test_nothing_runs_what_it_reads() -> None:
    """Reads no pickle, evaluates no text, starts no shell, renders no template unescaped."""
    for path in SOURCES:
        code = path.read_text()
        assert not dangers(code, name(path)), name(path)
        excepted = [line for line in code.splitlines() if "noqa: S" in line]
        assert all(JUSTIFIED.search(line) for line in excepted), name(path)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "eval(text)", "yaml.load(text, Loader=L)",
        "torch.load(path)", "numpy.load(path, allow_pickle=True)", "duckdb.connect(path)",
        "subprocess.run(words, shell=True)", "Environment(loader=loader)", "os.system(words)",
    ],
)  # fmt: skip
def test_such_code_is_noticed(code: str) -> None:
    assert dangers(code, "ssl_audio/x.py")


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
