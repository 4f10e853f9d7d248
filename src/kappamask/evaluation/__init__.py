"""Score masks against a truth."""

from kappamask.evaluation.metrics import compute_rates, compute_scores, count_confusion

__all__ = ["compute_rates", "compute_scores", "count_confusion"]

confusion, rates, scores = count_confusion, compute_rates, compute_scores
"""Earlier names."""
