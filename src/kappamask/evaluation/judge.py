"""Keep earlier names of `kappamask.evaluation.comparison` importable."""

from kappamask.evaluation.comparison import DatasetResult as Judged
from kappamask.evaluation.comparison import judge
from kappamask.evaluation.comparison import judge_patches as judged

__all__ = ["Judged", "judge", "judged"]
