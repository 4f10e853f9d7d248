"""Simulated clouds over real surfaces, and the trainer of the compact network."""
