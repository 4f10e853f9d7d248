"""Simulate and batch training data on the GPU."""
