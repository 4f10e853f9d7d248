"""The embedded openEO back-end: openeo-driver's REST front over an xarray engine, on loopback only.

`chunks` is useful on its own: it hands any UDF the chunks that the Copernicus Data Space back-end would hand it.
The rest serves a folder of scenes over the openEO API: `running_server` for programs, `run_server` for a terminal.
"""

import warnings

# openeo-driver's openeo_processes 0.0.4 imports pkg_resources; nobody who serves scenes can act on that.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated", module="openeo_processes")
