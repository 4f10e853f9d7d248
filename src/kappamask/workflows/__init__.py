"""Whole tasks in one call: mask one scene, mask many, submit a batch and fetch its results."""
