"""Files and URLs from anywhere: atomic writes, downloads, archives, GeoJSON, loopback addresses."""
