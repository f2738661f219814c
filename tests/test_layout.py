"""What holds for the repository as a whole: names, import weight, the wheel."""

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter, defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("models", "platform", "sweeps", "serve")


MOST_FILES = 16
PACKED = (".py", ".yaml", ".html", ".css", ".js", ".svg", ".json", ".safetensors")

SAME_NAME: dict[str, set[str]] = {}
"""Public classes that share a name, with their files."""


def python(*arguments: str, cwd: Path = REPOSITORY, executable: str = sys.executable) -> str:
    return subprocess.run([executable, *arguments], cwd=cwd, check=True, capture_output=True, text=True, timeout=250).stdout


def test_platform_stays_the_standard_librarys():
    assert not [folder for folder in FOLDERS if (REPOSITORY / folder / "__init__.py").exists()]
    for folder in (REPOSITORY, REPOSITORY / "src", REPOSITORY / "tests"):
        assert "platform.py" in python("-c", "import platform; print(platform.__file__)", cwd=folder)


def test_platform_stays_the_standard_librarys_on_ray_workers(ray_cluster):
    import ray

    @ray.remote
    def where() -> str:
        import platform

        return platform.__file__

    assert ray.get(where.remote()).endswith("platform.py")


@pytest.mark.parametrize(("pip_works", "made"), [("true", []), ("false", ["-m venv --clear .venv"])])
def test_make_repairs_an_environment_without_pip(tmp_path, pip_works, made):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    inside, outside = tmp_path / ".venv" / "bin" / "python", tmp_path / "python"
    inside.write_text(f'#!/bin/sh\ncase "$*" in "-m pip --version") exec {pip_works};; esac\n')
    outside.write_text('#!/bin/sh\ncase "$*" in "-m venv"*) echo "$*" >> calls;; esac\n')
    for script in (inside, outside):
        script.chmod(0o755)
    subprocess.run(["make", ".venv/.installed", f"PYTHON={outside}"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    calls = tmp_path / "calls"
    assert (calls.read_text().splitlines() if calls.exists() else []) == made


def test_links_are_relative():
    for folder in FOLDERS:
        assert str((REPOSITORY / "src" / "legan" / folder).readlink()) == f"../../{folder}"


def modules() -> list[Path]:
    """Every Python file of the four folders."""
    return [file for folder in FOLDERS for file in sorted((REPOSITORY / folder).rglob("*.py"))]


def test_no_folder_holds_more_files_than_one_sees_at_a_glance():
    count = Counter(str(file.parent.relative_to(REPOSITORY)) for file in modules())
    assert {folder: files for folder, files in count.items() if files > MOST_FILES} == {}


def test_no_file_shadows_a_module_for_a_script_started_beside_it():
    """A folder without ``__init__.py`` shadows nothing: Python takes any module or package of the name before it."""
    imported = {file.parent if file.name == "__init__.py" else file for file in modules()}
    taken = sys.stdlib_module_names | packages_distributions().keys()
    assert {str(path.relative_to(REPOSITORY)) for path in imported if path.stem in taken} == set()


def test_public_classes_have_names_of_their_own():
    files = defaultdict(set)
    for file in modules():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].add(str(file.relative_to(REPOSITORY)))
    shared = {(name, file) for name, where in files.items() for file in where if len(where) > 1}
    allowed = {(name, file) for name, where in SAME_NAME.items() for file in where}
    assert shared - allowed == set(), "a name that another class has"
    assert allowed - shared == set(), "allowed in SAME_NAME, but there is no such pair any more"


def test_tests_mirror_the_folders():
    folders = [path for root in FOLDERS for path in (REPOSITORY / "tests" / root).rglob("*") if path.is_dir()]
    mirrored = [path.relative_to(REPOSITORY / "tests") for path in folders if path.name != "__pycache__"]
    assert [str(path) for path in mirrored if not (REPOSITORY / path).is_dir()] == []


def test_the_application_has_the_name_that_users_files_give_it():
    assert callable(importlib.import_module("legan.serve.app").build)


def test_nothing_imports_the_command_line():
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "legan.cli" not in names, path


def test_help_is_quick_and_loads_nothing_heavy():
    start = time.perf_counter()
    text = python("-m", "legan.cli", "--help")
    seconds = time.perf_counter() - start
    ours = ("data", "train", "evaluate", "sweep", "translate", "augment", "serve", "call", "study")
    for command in (*ours, "doctor", "ui", "sync"):
        assert command in text
    assert seconds < 4  # under 1 s on a quiet machine: benchmarks/command_line.py
    loaded = json.loads(python("-c", "import json, sys; import legan.cli; print(json.dumps(sorted(sys.modules)))"))
    assert not {"torch", "ray", "mlflow", "pandas", "cv2", "numpy"} & set(loaded)


LIGHT = (
    "platform.data.dataset",
    "platform.jobs.watch",
    "platform.training.cleaner",
    "serve.study.app",
    "sweeps.remote.submit",
    "sweeps.sweep",
)


@pytest.mark.parametrize("module", LIGHT)
def test_what_needs_no_tensors_does_not_wait_for_pytorch(module):
    assert python("-c", f"import sys, legan.{module}; print('torch' in sys.modules)") == "False\n"


@pytest.mark.parametrize("command", [["data", "nonsense"], ["train", "legan", "--preset", "nonsense"], ["sync", "nonsense"]])
def test_bad_input_ends_with_code_2_and_no_traceback(command, tmp_path):
    environment = os.environ | {"LEGAN_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "legan.cli", *command], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "nonsense" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY))
    return next(folder.glob("legan-*.whl"))


@pytest.mark.long
def test_wheel_holds_every_module_preset_page_and_model(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    for folder in FOLDERS:
        for path in (REPOSITORY / folder).rglob("*"):
            if path.suffix in PACKED and "__pycache__" not in path.parts:
                assert f"legan/{path.relative_to(REPOSITORY)}" in packed


@pytest.mark.long
def test_wheel_in_a_clean_environment_imports_whole(wheel, tmp_path):
    """The environment sees the installed dependencies, but not the checkout."""
    python("-m", "venv", str(tmp_path / "clean"))
    clean = str(tmp_path / "clean" / "bin" / "python")
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel), executable=clean)
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    modules = [name.removesuffix(".py").replace("/", ".") for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    imports = [name.removesuffix(".__init__") for name in modules if not name.endswith("pyfunc_model")]
    script = (
        f"import importlib, sys; sys.path.append({dependencies!r})\n"
        f"for name in {imports!r}: importlib.import_module(name)\n"
        "import legan.platform.config as config, platform\n"
        "print(config.preset_names(), config.__file__, platform.__file__)"
    )
    printed = python("-c", script, cwd=tmp_path, executable=clean)
    assert "'paper', 'quick', 'rendered', 'yale'" in printed
    assert str(REPOSITORY) not in printed
