"""What people look at: STAC items, styles, pages of one scene and of a time series."""

from kappamask.models import MissingExtraError

try:
    from kappamask.reports.page import write_page
    from kappamask.reports.series import is_series, read_series
    from kappamask.reports.series_page import write_series
    from kappamask.reports.series_scenes import scenes_of
    from kappamask.reports.series_table import rows, write_table
    from kappamask.reports.shares import shares
    from kappamask.reports.stac import stac_item, write_stac
    from kappamask.reports.style import style, write_style
except ModuleNotFoundError as error:
    raise MissingExtraError(f"Reports need {error.name}: pip install 'kappamask-openeo[report]'.") from error

__all__ = [
    "is_series",
    "read_series",
    "rows",
    "scenes_of",
    "shares",
    "stac_item",
    "style",
    "write_page",
    "write_series",
    "write_stac",
    "write_style",
    "write_table",
]
