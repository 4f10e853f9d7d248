"""What people look at: STAC items, styles, pages of one scene and of a time series."""
