"""Reports for people: STAC items, styles, and pages of scenes and time series."""

from kappamask.models.errors import make_extra_error

try:
    from kappamask.reports.class_shares import count_shares
    from kappamask.reports.page import write_page
    from kappamask.reports.qgis_style import make_style, write_style
    from kappamask.reports.series import is_series, make_rows, match_scenes, read_series, write_table
    from kappamask.reports.series_page import write_series
    from kappamask.reports.stac import make_stac_item, write_stac
except ModuleNotFoundError as error:
    raise make_extra_error(error.name, "scenes", user="A report") from error

__all__ = [
    "count_shares",
    "is_series",
    "make_rows",
    "make_stac_item",
    "make_style",
    "match_scenes",
    "read_series",
    "write_page",
    "write_series",
    "write_stac",
    "write_style",
    "write_table",
]

rows, scenes_of, shares, stac_item, style = make_rows, match_scenes, count_shares, make_stac_item, make_style
"""Earlier names."""
