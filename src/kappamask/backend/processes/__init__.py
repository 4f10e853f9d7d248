"""The openEO processes of the embedded back-end, as functions of xarray cubes."""
