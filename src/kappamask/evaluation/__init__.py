"""How good a mask is: scores against a truth."""

from kappamask.evaluation.metrics import confusion, rates, scores

__all__ = ["confusion", "rates", "scores"]
