"""Score masks against a truth."""

from kappamask.evaluation.metrics import confusion, rates, scores

__all__ = ["confusion", "rates", "scores"]
