"""Readers of scenes: one module for each format."""
