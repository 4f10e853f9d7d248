"""Old place of names that are now in `kappamask.evaluation.comparison`."""

from kappamask.evaluation.comparison import Judged, judge, judged

__all__ = ["Judged", "judge", "judged"]
