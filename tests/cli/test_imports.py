"""The command imports at the top, unless an extra may be absent."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kappamask.cli.app

HEAVY = ("dask", "matplotlib", "numpy", "onnxruntime", "openeo", "rasterio", "torch", "xarray")
LATE = {
    "__init__.py: kappamask.cli.app": "typer may be absent",
    "doctor.py: kappamask.udf": "a broken NumPy, xarray or ONNX Runtime is what the command is to report",
    "doctor.py: kappamask.udf.inference": "as before",
    "doctor.py: numpy": "as before",
    "doctor.py: xarray": "as before",
    "mask.py: kappamask.scenes.writers.captions": "loads xarray and rasterio, which the help does not need",
}
"""FILE: module that is imported in a function outside `require_extra`, and why."""


def late_imports(tree: ast.AST, inside: bool = False) -> Iterator[str]:
    """Yield modules that are imported in functions, but not in a block `with require_extra`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.With) and "require_extra" in ast.dump(node.items[0].context_expr):
            continue
        if inside and isinstance(node, ast.ImportFrom):
            yield str(node.module)
        if inside and isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        yield from late_imports(node, inside or isinstance(node, ast.FunctionDef))


def test_functions_of_the_command_import_only_what_may_be_absent_or_is_slow() -> None:
    folder = Path(kappamask.cli.app.__file__).parent
    found = {
        f"{path.name}: {module}"
        for path in folder.glob("*.py")
        for module in late_imports(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(LATE)


def test_the_command_starts_without_heavy_libraries() -> None:
    code = f"import sys, kappamask.cli.app; print(*(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
