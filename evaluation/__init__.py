"""How good a mask is: scores against a truth."""

from kappamask.evaluation.labelled import Chip, evaluate_labelled, read_chip
from kappamask.evaluation.metrics import confusion, rates, scores

__all__ = ["Chip", "confusion", "evaluate_labelled", "rates", "read_chip", "scores"]
