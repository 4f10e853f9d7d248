"""What people look at: STAC items, styles, pages of one scene and of a time series."""

from kappamask.models import MissingExtraError

try:
    from kappamask.reports.page import write_page
    from kappamask.reports.shares import shares
    from kappamask.reports.stac import stac_item, write_stac
    from kappamask.reports.style import style, write_style
except ModuleNotFoundError as error:
    raise MissingExtraError(f"Reports need {error.name}: pip install 'kappamask-openeo[report]'.") from error

__all__ = ["shares", "stac_item", "style", "write_page", "write_stac", "write_style"]
