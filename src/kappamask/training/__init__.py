"""Simulate clouds over real surfaces and train networks on them."""
