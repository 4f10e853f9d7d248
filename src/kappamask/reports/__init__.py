"""Reports for people: STAC items, styles, and pages of scenes and time series."""

from kappamask.models.errors import missing_extra

try:
    from kappamask.reports.class_shares import shares
    from kappamask.reports.page import write_page
    from kappamask.reports.qgis_style import style, write_style
    from kappamask.reports.series import is_series, read_series, rows, scenes_of, write_table
    from kappamask.reports.series_page import write_series
    from kappamask.reports.stac import stac_item, write_stac
except ModuleNotFoundError as error:
    raise missing_extra(error.name, "scenes", user="A report") from error

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
