"""Check the arguments of openEO processes in dry run and validation, before pixels are read."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from openeo_driver.errors import ProcessParameterInvalidException
from openeo_driver.processes import ProcessArgs
from openeo_driver.ProcessGraphDeserializer import process_registry_2xx
from openeo_driver.utils import EvalEnv

from kappamask.backend.cube import SceneCube
from kappamask.backend.errors import make_api_error
from kappamask.backend.processes.callbacks import Callback
from kappamask.backend.processes.dimensions import check_new_dimension, check_target
from kappamask.backend.processes.neighborhood import Neighborhood, check_kernel
from kappamask.backend.processes.pixel_math import check_target_band
from kappamask.backend.processes.temporal import check_period
from kappamask.backend.processes.udf import UdfNode
from kappamask.backend.stac import check_source

__all__ = ["CHECKED", "read_period"]

Function = Callable[[ProcessArgs, EvalEnv], Any]


def _run_original(name: str, args: ProcessArgs, env: EvalEnv) -> Any:
    return process_registry_2xx.get_function(name)(args, env)


def _load_stac(args: ProcessArgs, env: EvalEnv) -> Any:
    """Check the address: openeo-driver would open any URL already in the dry run."""
    check_source(args.get_required("url", expected_type=str), env.backend_implementation.scenes)
    return _run_original("load_stac", read_period(args, "temporal_extent"), env)


def _load_collection(args: ProcessArgs, env: EvalEnv) -> Any:
    return _run_original("load_collection", read_period(args, "temporal_extent"), env)


def _filter_temporal(args: ProcessArgs, env: EvalEnv) -> Any:
    return _run_original("filter_temporal", read_period(args, "extent"), env)


def _apply_neighborhood(args: ProcessArgs, env: EvalEnv) -> Any:
    process = args.get_deep("process", "process_graph", expected_type=dict)
    sizes, overlaps = args.get_required("size"), args.get_optional("overlap") or []
    Neighborhood.parse(process, sizes, overlaps, args.get("context"), env)
    return _run_original("apply_neighborhood", args, env)


def _apply(args: ProcessArgs, env: EvalEnv) -> Any:
    graph = args.get_deep("process", "process_graph", expected_type=dict)
    if UdfNode.parse("apply", graph, args.get("context"), env) is None:
        Callback.parse("apply", graph)
    return _run_original("apply", args, env)


def _apply_dimension(args: ProcessArgs, env: EvalEnv) -> Any:
    graph = args.get_deep("process", "process_graph", expected_type=dict)
    if UdfNode.parse("apply_dimension", graph, args.get("context"), env) is None:
        dimension = args.get_required("dimension", expected_type=str)
        check_target(dimension, args.get("target_dimension"))
        Callback.parse("apply_dimension", graph, dimension)
    return _run_original("apply_dimension", args, env)


def _reduce_dimension(args: ProcessArgs, env: EvalEnv) -> Any:
    graph = args.get_deep("reducer", "process_graph", expected_type=dict)
    if UdfNode.parse("reduce_dimension", graph, args.get("context"), env) is None:
        Callback.parse("reduce_dimension", graph, args.get_required("dimension", expected_type=str))
    return _run_original("reduce_dimension", args, env)


def _aggregate_temporal(args: ProcessArgs, env: EvalEnv) -> Any:
    """Check the reducer, and take null for a parameter that is left out."""
    Callback.parse("aggregate_temporal", args.get_deep("reducer", "process_graph", expected_type=dict), "t")
    given = {name: value for name, value in args.items() if value is not None}
    return _run_original("aggregate_temporal", ProcessArgs(given, process_id="aggregate_temporal"), env)


def _aggregate_temporal_period(args: ProcessArgs, env: EvalEnv) -> Any:  # noqa: ARG001
    """Check period and reducer.

    openeo-driver would need the extent of dates in the metadata, which have none here.
    """
    cube, period = args.get_required("data"), args.get_required("period", expected_type=str)
    graph = args.get_deep("reducer", "process_graph", expected_type=dict)
    dimension, context = args.get("dimension") or "t", args.get("context")
    check_period(period)
    Callback.parse("aggregate_temporal_period", graph, "t")
    _check_dimension("aggregate_temporal_period", cube, dimension)
    if isinstance(cube, SceneCube):
        return cube.aggregate_temporal_period(period, graph, dimension, context)
    return cube.aggregate_temporal(intervals=[], labels=None, reducer=graph, dimension=dimension, context=context)


def _apply_kernel(args: ProcessArgs, env: EvalEnv) -> Any:  # noqa: ARG001
    """Check the kernel; openeo-driver takes only numbers as the border."""
    cube, border = args.get_required("data"), args.get("border", 0)
    kernel = check_kernel(args.get_required("kernel", expected_type=list), border)
    factor, replacement = args.get("factor", 1), args.get("replace_invalid", 0)
    return cube.apply_kernel(kernel=kernel, factor=factor, border=border, replace_invalid=replacement)


def _add_dimension(args: ProcessArgs, env: EvalEnv) -> Any:
    have, label = args.get_required("data").get_dimension_names(), args.get_required("label")
    check_new_dimension(have, args.get_required("name", expected_type=str), label, args.get("type", "other"))
    return _run_original("add_dimension", args, env)


def _dimension_labels(args: ProcessArgs, env: EvalEnv) -> Any:
    """List the labels; in a dry run only bands, as others need the scenes."""
    cube, name = args.get_required("data"), args.get_required("dimension", expected_type=str)
    _check_dimension("dimension_labels", cube, name)
    if isinstance(cube, SceneCube):
        return _run_original("dimension_labels", args, env)
    return cube.metadata.band_names if name == "bands" else []


def _merge_cubes(args: ProcessArgs, env: EvalEnv) -> Any:  # noqa: ARG001
    """Merge two cubes with the whole resolver, of which openeo-driver takes only the id."""
    first, second = args.get_required("cube1"), args.get_required("cube2")
    resolver = args.get("overlap_resolver")
    graph = args.get_deep("overlap_resolver", "process_graph", expected_type=dict) if resolver else None
    if graph:
        Callback.parse("merge_cubes", graph)
    return first.merge_cubes(second, graph)


def _drop_dimension(args: ProcessArgs, env: EvalEnv) -> Any:
    """Check the name: openEO's DimensionNotAvailable where openeo-driver fails without a code."""
    cube, name = args.get_required("data"), args.get_required("name", expected_type=str)
    _check_dimension("drop_dimension", cube, name)
    return _run_original("drop_dimension", args, env)


def _check_dimension(process: str, cube: Any, name: str) -> None:
    have = cube.get_dimension_names()
    if name not in have:
        raise make_api_error("DimensionNotAvailable", f"{process}: no dimension {name}; there are {', '.join(have)}.")


def _check_ndvi(args: ProcessArgs, env: EvalEnv) -> Any:
    """Check the added band's name: openEO's BandExists where openeo-driver's dry run fails without a code."""
    metadata = args.get_required("data").metadata
    check_target_band(metadata.band_names if metadata.has_band_dimension() else [], args.get("target_band"))
    return _run_original("ndvi", args, env)


CHECKED: dict[str, Function] = {
    "load_stac": _load_stac, "load_collection": _load_collection, "filter_temporal": _filter_temporal,
    "apply_neighborhood": _apply_neighborhood, "apply": _apply,
    "apply_dimension": _apply_dimension, "reduce_dimension": _reduce_dimension,
    "aggregate_temporal": _aggregate_temporal, "merge_cubes": _merge_cubes, "drop_dimension": _drop_dimension,
    "ndvi": _check_ndvi, "aggregate_temporal_period": _aggregate_temporal_period, "apply_kernel": _apply_kernel,
    "add_dimension": _add_dimension, "dimension_labels": _dimension_labels,
}  # fmt: skip
"""openEO process -> the function that checks its arguments and then calls openeo-driver's."""


def read_period(args: ProcessArgs, name: str) -> ProcessArgs:
    """Return the arguments with the period `name` in dates or times of UTC.

    openeo-driver reads no other zone and no fraction of a second, with which JavaScript writes times; here whole
    seconds count. Raises openEO's ProcessParameterInvalid (400) for a bound that is neither.
    """
    period = args.get(name)
    if not isinstance(period, list | tuple):
        return args
    bounds = [_read_bound(bound, name, args.process_id) for bound in period]
    return ProcessArgs({**args, name: bounds}, process_id=args.process_id)


def _read_bound(bound: Any, name: str, process: str) -> str | None:
    if bound is None:
        return None
    try:
        text = str(bound).strip()
        if len(text) <= len("2018-02-02"):
            return date.fromisoformat(text).isoformat()
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise ProcessParameterInvalidException(
            parameter=name, process=process,
            reason=f"{bound!r} is neither a date, such as 2018-02-02, nor a time, such as 2018-02-02T10:50:00Z",
        ) from None  # fmt: skip
