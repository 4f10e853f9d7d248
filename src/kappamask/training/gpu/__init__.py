"""The simulator and its batches on the GPU."""
