"""Print the files that masking a product enters: `python tools/docs/walk.py PRODUCT`.

They are in the order in which they are entered. What runs while modules are imported is not counted. The page on the
architecture lists the files of a SAFE product.
"""

import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from kappamask.workflows.one_scene import mask_scene
from kappamask.workflows.progress import no_progress

__all__ = ["list_entered_files"]

AT_THE_TOP = ("models/", "openeo_process/", "udf/")
"""Packages that lie at the root of the checkout."""
IN_FUNCTION = 1
"""Flag of code objects that are functions (`inspect.CO_OPTIMIZED`): bodies of classes are not."""


def list_entered_files(scene: str) -> list[str]:
    """Mask `scene` and list the files whose functions ran, as in a checkout."""
    entered: dict[str, None] = {}

    def note_file(frame: FrameType, event: str, _argument: Any) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event == "call" and module not in entered and _is_product_code(frame) and not _is_importing(frame):
            entered[module] = None

    threading.setprofile(note_file)
    sys.setprofile(note_file)
    try:
        with tempfile.TemporaryDirectory() as folder:
            mask_scene(scene, Path(folder) / "mask.tif", progress=no_progress)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return [_locate_module(module) for module in entered]


def _locate_module(module: str) -> str:
    """Return the place of a module in a checkout, wherever it is installed."""
    path = module.removeprefix("kappamask.").replace(".", "/") + ".py"
    return path if path.startswith(AT_THE_TOP) else f"src/kappamask/{path}"


def _is_product_code(frame: FrameType) -> bool:
    """Tell whether a function of this package runs.

    Dataclasses make some from text, which are in no file.
    """
    code, module = frame.f_code, str(frame.f_globals.get("__name__"))
    return module.startswith("kappamask.") and bool(code.co_flags & IN_FUNCTION) and code.co_filename != "<string>"


def _is_importing(frame: FrameType) -> bool:
    """Tell whether a module that is being imported called this function."""
    caller = frame.f_back
    while caller is not None:
        if caller.f_code.co_name == "<module>" and caller.f_globals.get("__name__") != "__main__":
            return True
        caller = caller.f_back
    return False


if __name__ == "__main__":
    print(*list_entered_files(sys.argv[1]), sep="\n")  # noqa: T201
