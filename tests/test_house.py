"""The house keeps its order: imports point down, modules are short and named apart, each has its test file and door."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

import inpaint_transform

ROOT = Path(inpaint_transform.__file__).parent
TESTS = Path(__file__).parent
# tiny is data; no room imports another of its own floor.
FLOORS = [{"tiny"}, {"core"}, {"engine", "gates", "serving", "reports"}, {"faces", "datasets"}, {"fit"}, {"tools"}]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MAX_LINES = 400
DOORS = {
    "inpaint_transform": "BBoxInpaint InpaintError ModelSpec PRESETS Reuse Swap visualize visualize_batch",
    "inpaint_transform.annotations": "Annotation BoxFormat Problem read read_image",
    "inpaint_transform.batch": "BatchInpaint ConcurrentDataset",
    "inpaint_transform.gates": "ChangeGate ClipGate DetectorGate FillGate torchvision_detector",
    "inpaint_transform.models": "PRESETS ModelSpec",
    "inpaint_transform.study": "ConfigError Study read_study run_study",
    "inpaint_transform.swaps": "Swap class_counts class_sizes",
    "inpaint_transform.torchvision": "BBoxInpaint",
}

# What still has to be mended. An entry that is mended is struck out: the tests fail until it is.
UPWARD: set[str] = set()
TOO_LONG: set[str] = set()
MISNAMED: set[str] = set()
UNTESTED = {
    "faces/torchvision_types.py",
}
# Modules whose tests stand elsewhere, and why.
TESTED_ELSEWHERE = {
    "tools/bench/fresh.py": ("tools/test_bench.py", "the command measures in processes of their own"),
    "tools/bench/measure.py": ("tools/test_bench.py", "the command measures everything, end to end"),
    "serving/ray/bulk.py": ("integration/test_ray_export.py", "needs a cluster"),
    "serving/ray/painter.py": ("integration/test_ray.py", "an actor of a cluster"),
    "serving/ray/painters.py": ("integration/test_ray.py", "needs a cluster"),
    "serving/ray/ray_engine.py": ("integration/test_ray.py", "needs a cluster"),
    "tools/cli/export.py": ("datasets/test_export.py", "its tests give the command and look at what it wrote"),
    "tools/cli/progress.py": ("tools/test_cli.py", "first and last steps of every command that paints"),
    "serving/client/client.py": ("integration/test_server.py", "needs a server"),
    "serving/client/connection.py": ("integration/test_security.py", "needs a server"),
    "serving/client/launch.py": ("integration/test_server.py", "starts servers"),
    "serving/server/engine_thread.py": ("integration/test_server.py", "works in a server"),
    "serving/server/lifetime.py": ("integration/test_lifetime.py", "needs owners that end"),
    "serving/server/peer.py": ("integration/test_security.py", "needs a server and hostile clients"),
    "serving/server/process.py": ("integration/test_lifetime.py", "a process of its own"),
    "serving/server/server.py": ("integration/test_server.py", "needs clients"),
    "serving/server/watchdog.py": ("integration/test_lifetime.py", "a process beside a server"),
}

MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path.parent != ROOT]


def name(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text("utf-8"))


def imported(module: Path) -> set[str]:
    """All that a module imports, wherever it does, for types too: dotted paths down to the names."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(module)}, line {node.lineno}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def compare(found: set[str], known: set[str]) -> None:
    assert not found - known, "new"
    assert not known - found, "mended: strike it out of the list in this file"


def test_imports_point_down() -> None:
    found = set()
    for module in MODULES:
        room = module.relative_to(ROOT).parts[0]
        for path in imported(module):
            package, _, inside = path.partition(".")
            other = inside.partition(".")[0]
            if package == ROOT.name and inside and other != room and FLOOR.get(other, 9) >= FLOOR[room]:
                found.add(f"{name(module)}: {inside}")
    compare(found, UPWARD)


def test_the_engine_is_loaded_by_name_only() -> None:
    engine = f"{ROOT.name}.engine"
    users = {name(module) for module in MODULES if any(path.startswith(engine) for path in imported(module))}
    assert {user for user in users if not user.startswith("engine/")} == set()


def test_the_core_is_pure() -> None:
    # Arrays, pictures and a hash of them: nothing that knows files, a framework or a device.
    allowed = {"numpy", "cv2", "xxhash", ROOT.name, *sys.stdlib_module_names}
    found = {path.split(".")[0] for module in MODULES if name(module).startswith("core/") for path in imported(module)}
    assert found <= allowed


def test_a_long_module_says_why() -> None:
    long = {module for module in MODULES if len(module.read_text("utf-8").splitlines()) > MAX_LINES}
    unexplained = {
        name(module) for module in long if f"{MAX_LINES} lines" not in (ast.get_docstring(tree(module)) or "")
    }
    compare(unexplained, TOO_LONG)


def test_no_module_is_named_as_one_of_the_standard_library() -> None:
    compare({name(module) for module in MODULES if module.stem in sys.stdlib_module_names}, MISNAMED)


def test_a_module_with_logic_has_a_test_file_of_its_name() -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = set()
    for module in MODULES:
        logic = any(isinstance(node, functions) for node in ast.walk(tree(module)))
        room = module.relative_to(ROOT).parts[0]
        # pytest wants every test file to have a name of its own, so some have their folder's name before the module's.
        named = {f"test_{module.stem}.py", f"test_{module.parent.name}_{module.stem}.py"}
        if logic and module.stem != "__init__" and not named & {path.name for path in (TESTS / room).rglob("*.py")}:
            found.add(name(module))
    for module, (test, _reason) in TESTED_ELSEWHERE.items():
        assert (TESTS / test).is_file(), f"{module}: no {test}"
    compare(found, UNTESTED | TESTED_ELSEWHERE.keys())


def test_every_test_file_has_a_name_of_its_own() -> None:
    """pytest would collect one of two namesakes and stop at the other."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("door", DOORS)
def test_the_doors_that_users_know_open(door: str) -> None:
    if door.endswith("torchvision"):
        pytest.importorskip("vision")
    module = importlib.import_module(door)
    for wanted in DOORS[door].split():
        assert hasattr(module, wanted)
        assert wanted in module.__all__


def test_a_door_is_nothing_but_a_door() -> None:
    doors = [path for path in ROOT.glob("*.py") if path.stem not in ("__init__", "__main__")]
    assert {f"{ROOT.name}.{path.stem}" for path in doors} <= set(DOORS)
    for path in doors:
        kinds = {type(node) for node in tree(path).body}
        assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}, path


README = TESTS.parent / "README.md"
READMES = [README, *sorted(ROOT.rglob("README.md")), *sorted((TESTS.parent / "benchmarks").rglob("README.md"))]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_links_lead_somewhere(readme: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme.read_text("utf-8"))
    assert [link for link in links if not (readme.parent / link).exists()] == []


def test_the_readme_leads_to_every_other() -> None:
    text = README.read_text("utf-8")
    others = [path.relative_to(README.parent).as_posix() for path in READMES[1:]]
    assert [other for other in others if f"({other})" not in text] == []


def test_the_readmes_are_in_the_package_of_their_room() -> None:
    rooms = {path.parent.name for path in READMES if ROOT in path.parents}
    assert rooms >= {"datasets", "engine", "faces", "gates", "serving"}


def test_the_check_runs_the_readmes_test_command() -> None:
    commands = re.findall(r"```bash\n(.*-m pytest.*)\n```", README.read_text("utf-8"))
    assert len(commands) == 1
    assert commands[0] in (TESTS.parent / ".ci" / "run").read_text("utf-8").splitlines()
