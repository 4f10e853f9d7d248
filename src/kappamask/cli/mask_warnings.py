"""Pixels of a size that networks are not made for."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["warn_of_pixels"]

PIXEL = 10.0
"""Metres: the grid that KappaMask's networks are trained on (Domnich et al. 2021), Sentinel-2's finest."""
NEAR = 0.5
"""Metres by which pixels may differ from that, or from what was asked for, without a warning, as after a resampling."""


def warn_of_pixels(cube: "xr.DataArray", asked: float) -> None:
    """Say so on stderr if a cube has pixels of another size than was `asked` for, in metres."""
    from kappamask.scenes.grid import pixel_size

    size = pixel_size(cube)
    if size is None or (size[2] != "degree" and all(abs(side - asked) <= NEAR for side in size[:2])):
        return
    told = f"{size[0]:.6g} x {size[1]:.6g} {size[2] or '(no CRS tells the unit)'}"
    typer.echo(f"kappamask: warning: pixels are {told}; networks are made for {PIXEL:g} m, expect errors.", err=True)
