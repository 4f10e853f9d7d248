"""Writers of masks, scores and pictures."""
