"""Processes that the back-end offers, and how a process graph is checked and evaluated."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from openeo_driver.backend import LoadParameters, OpenEoBackendImplementation
from openeo_driver.config import OpenEoBackendConfig
from openeo_driver.errors import FeatureUnsupportedException, OpenEOApiException
from openeo_driver.processes import ProcessRegistry
from openeo_driver.ProcessGraphDeserializer import ConcreteProcessing, process_registry_2xx
from openeo_driver.specs import SPECS_ROOT
from openeo_driver.utils import EvalEnv

from kappamask.backend.collections import Catalog, load_scenes
from kappamask.backend.cube import SceneCube
from kappamask.backend.engines import Run
from kappamask.backend.job_store import Settings
from kappamask.backend.process_definitions import StoredProcesses, check_namespaces, keep_to_this_machine
from kappamask.backend.processes.checks import CHECKED
from kappamask.backend.processes.dimensions import CONDITIONS
from kappamask.backend.processes.pixel_math import ARRAYS, ELEMENTWISE, REDUCERS
from kappamask.backend.stac import load_stac_scenes
from kappamask.backend.udf_runtime import PythonRuntime

__all__ = ["GraphProcessing", "SceneBackend"]

PROCESSES = (
    "load_collection", "load_stac", "filter_bands", "filter_bbox", "filter_temporal", "filter_spatial",
    "resample_spatial", "resample_cube_spatial", "apply_neighborhood", "apply", "apply_dimension", "reduce_dimension",
    "aggregate_temporal", "drop_dimension", "merge_cubes", "rename_labels", "mask", "mask_polygon", "ndvi",
    "save_result", "filter_labels", "if", "add_dimension", "dimension_labels", "aggregate_temporal_period",
    "apply_kernel",
)  # fmt: skip
"""Processes at the top level of a graph."""
VALUES = ("eq",)
"""Processes of values, at the top level and in callbacks."""
CALLBACKS = tuple(
    {"run_udf", "linear_scale_range", "array_element", *ARRAYS, *ELEMENTWISE, *REDUCERS, *CONDITIONS} - {*VALUES}
)
"""Processes inside `apply`, `reduce_dimension` and other processes that take a callback."""


@lru_cache(maxsize=1)
def build_registry() -> ProcessRegistry:
    """Build openeo-driver's registry with the processes that work here only."""
    offered = ProcessRegistry(
        spec_root=SPECS_ROOT / "openeo-processes/2.x",
        argument_names=["args", "env"],
        target_version=process_registry_2xx.target_version,
    )
    for name in (*PROCESSES, *VALUES):
        function = CHECKED.get(name, process_registry_2xx.get_function(name))
        offered.add_process(name, function=function, spec=process_registry_2xx.get_spec(name))
    for name in CALLBACKS:
        offered.add_process(name, function=partial(_refuse_values, name), spec=process_registry_2xx.get_spec(name))
    offered.add_hidden(process_registry_2xx.get_function("collect"), name="collect")
    return offered


def _refuse_values(name: str, args: Any, env: EvalEnv) -> None:  # noqa: ARG001
    """Refuse a process of values that is called as one of cubes."""
    raise FeatureUnsupportedException(
        f"{name} computes with values: it is offered inside the callbacks of apply, reduce_dimension, merge_cubes and "
        "the like, not at the top level of a graph."
    )


class GraphProcessing(ConcreteProcessing):  # type: ignore[misc]
    """Evaluation in this process: the job's own."""

    def get_process_registry(self, api_version: Any) -> ProcessRegistry:  # noqa: ARG002
        """Return the processes on offer."""
        return build_registry()

    def evaluate(self, process_graph: dict[str, Any], env: EvalEnv = None) -> Any:
        """Compute the graph's result: a cube, or what its `save_result` nodes hold."""
        check_namespaces(process_graph)
        return super().evaluate(process_graph, env)

    def validate(self, process_graph: dict[str, Any], env: EvalEnv = None) -> list[dict[str, Any]]:
        """Find a graph's errors in a dry run without pixels."""
        # openeo-driver fails without a code at a node that is no object
        if not isinstance(process_graph, dict) or not all(isinstance(node, dict) for node in process_graph.values()):
            message = "The process graph is no object of nodes; each node is an object with process_id and arguments."
            return [{"code": "ProcessGraphInvalid", "message": message}]
        try:
            check_namespaces(process_graph)
        except OpenEOApiException as error:
            return [{"code": error.code, "message": str(error)}]
        found: list[dict[str, Any]] = super().validate(process_graph, env)
        return found


class SceneBackend(OpenEoBackendImplementation):  # type: ignore[misc]
    """The back-end as openeo-driver wants it, without jobs: enough to evaluate a graph."""

    def __init__(
        self, settings: Settings, run: Run, config: OpenEoBackendConfig | None = None, **services: Any
    ) -> None:
        keep_to_this_machine()
        self.scenes = Path(settings.scenes)
        self._run = run
        services.setdefault("processing", GraphProcessing())
        super().__init__(
            catalog=Catalog(self.scenes, run),
            user_defined_processes=StoredProcesses(Path(settings.state) / "processes"),
            udf_runtimes=PythonRuntime(),
            config=config,
            **services,
        )

    def load_stac(self, url: str, load_params: LoadParameters, env: EvalEnv) -> SceneCube:
        """Load the scenes that a STAC item or collection names."""
        return load_scenes(load_stac_scenes(url, self.scenes), load_params, self._run, env)

    def file_formats(self) -> dict[str, Any]:
        """Return the formats of `save_result`."""
        prefix = {
            "filename_prefix": {"type": "string", "default": "openEO", "description": "Start of each file's name."}
        }
        formats = {"GTiff": "Cloud-optimised GeoTIFF, one file for each date", "netCDF": "netCDF, one file"}
        return {
            "input": {},
            "output": {
                name: {"title": title, "gis_data_types": ["raster"], "parameters": prefix}
                for name, title in formats.items()
            },
        }
