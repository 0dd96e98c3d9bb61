"""Ground truth of a split: frame-level labels, pixel masks, regions."""
