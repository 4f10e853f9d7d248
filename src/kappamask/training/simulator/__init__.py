"""Simulated clouds and shadows over real ground."""
