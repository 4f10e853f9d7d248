"""Files in, files out: scenes as lazy cubes, masks as GeoTIFF and netCDF, quicklooks as PNG."""

from kappamask.models import MissingExtraError

try:
    from kappamask.scenes.masks import read_mask, write_mask
    from kappamask.scenes.picture import quicklook
    from kappamask.scenes.reader import open_scene, scan
except ModuleNotFoundError as error:
    raise MissingExtraError(f"Scenes need {error.name}: pip install 'kappamask-openeo[scenes]'.") from error

__all__ = ["open_scene", "quicklook", "read_mask", "scan", "write_mask"]
