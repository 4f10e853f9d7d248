"""Configuration file of openeo-driver, which looks for the variable `config` here."""

from openeo_driver.config import OpenEoBackendConfig

from kappamask.backend.auth import LINKS

config = OpenEoBackendConfig(
    id="kappamask-embedded",
    capabilities_title="KappaMask embedded openEO back-end",
    capabilities_description="openeo-driver with an xarray engine over local Sentinel-2 scenes, on this machine only.",
    processing_facility="local",
    processing_software="openeo-driver",
    enable_oidc_auth=False,
    enable_basic_auth=True,
    url_signer=LINKS,
)
