"""Batch jobs of an area: planned, journalled, driven, downloaded, and paid once."""
