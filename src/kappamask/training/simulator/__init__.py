"""Simulate clouds and shadows over real ground."""
