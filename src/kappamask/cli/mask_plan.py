"""What `kappamask mask` would do with a scene, from its metadata alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappamask.cli.mask_extras import EXTRAS, check_extras
from kappamask.cli.mask_one import opened, streamed
from kappamask.cli.mask_options import Asked

if TYPE_CHECKING:
    from kappamask.udf.stream import Stream

__all__ = ["plan", "told"]

FIXED_MB = 950
"""What a process takes beside the scene's rows: libraries, the network at work, decoded blocks that are kept, cells
that are ahead; with it the peak of a whole product is met (benchmarks/product.py)."""
ROWS = 2048
"""Of the scene, in memory at once: two blocks of a product's JP2s."""


def plan(scene: str, output: Path, asked: Asked, *, anew: bool) -> dict[str, Any]:
    """Facts of the mask that would be made; no pixel is read. Raises what `open_scene` and `cloud_mask` would."""
    from kappamask.scenes.finished import is_finished
    from kappamask.scenes.masks import outputs

    cube = opened(scene, asked)
    check_extras(asked.extras, output, cube)
    said = _radiometry(cube.attrs, cube.encoding, asked)
    stream = streamed(cube, asked, said["radiometry"] or "dn_harmonized")
    files = outputs(output, scores=asked.scores)
    kept = not anew and is_finished(scene, files, asked.recorded(scene), whole=False)
    size = {"width": cube.sizes["x"], "height": cube.sizes["y"], "dates": cube.sizes.get("t", 1)}
    return {
        "scene": scene, "level": stream.reading.level, "bands": [str(band) for band in cube["bands"].values],
        "used_bands": list(stream.reading.bands), **said, **size, "windows": stream.windows,
        "megapixels": round(size["width"] * size["height"] * size["dates"] / 1e6, 3), "memory_mb": _memory(stream),
        "files": [str(path) for path in (*files, *(output.with_suffix(EXTRAS[word]) for word in asked.extras))],
        "skipped": kept,
    }  # fmt: skip


def _radiometry(attributes: Any, encoding: Any, asked: Asked) -> dict[str, str | None]:
    from kappamask.udf.radiometry import decide, stated

    if asked.radiometry == "auto" and stated(attributes, encoding) is None:
        return {"radiometry": None, "radiometry_reason": "the pixels will tell"}
    decision = decide(asked.radiometry, attributes, encoding, [])
    return {"radiometry": decision.mode, "radiometry_reason": decision.reason}


def _memory(stream: "Stream") -> int:
    cube = stream.cube
    rows = min(ROWS, cube.sizes["y"]) * cube.sizes["x"] * cube.sizes["bands"] * cube.dtype.itemsize
    return int(FIXED_MB + rows / 2**20)


def told(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    size = f"{found['width']} x {found['height']} px" + (f", {found['dates']} dates" if found["dates"] > 1 else "")
    reading = f"{found['radiometry'] or 'radiometry'} ({found['radiometry_reason']})"
    bands = f"{len(found['used_bands'])} of {len(found['bands'])} bands"
    cost = (
        f"{found['windows']} windows, {found['megapixels']:.1f} Mpx, about {found['memory_mb'] / 1024:.1f} GB of memory"
    )
    to = ("there already: " if found["skipped"] else "to ") + ", ".join(found["files"])
    return [f"{found['scene']}: {found['level']}, {bands}, {reading}, {size}", f"  {cost}; {to}"]
