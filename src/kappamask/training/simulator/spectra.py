"""Model spectra of air, cloud and shadow in Sentinel-2's 13 bands.

All reflectances are unitless (1.0 = white), all arrays follow the order of `BANDS`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ABSORPTION_SPREAD",
    "ANGSTROM",
    "B02",
    "B03",
    "B04",
    "B08",
    "B09",
    "B8A",
    "B10",
    "B11",
    "B12",
    "BANDS",
    "BRIGHT_B8A",
    "ICE_CLOUD",
    "MEAN",
    "NATIVE_M",
    "PARALLAX",
    "STD",
    "WATER_CLOUD",
    "FloatArray",
    "compute_air_mass",
    "compute_diffuse_share",
    "compute_path_reflectance",
    "compute_surface_factors",
    "estimate_water",
    "estimate_water_from_ratio",
    "measure_vapour_ratio",
    "to_surface",
    "to_top",
    "transmit_through_air",
    "transmit_through_vapour",
]

FloatArray = NDArray[np.float32]
BANDS: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
B02, B03, B04, B08, B8A, B09, B10, B11, B12 = (
    BANDS.index(b) for b in ("B02", "B03", "B04", "B08", "B8A", "B09", "B10", "B11", "B12")
)
#: Native pixel size in metres (ESA Sentinel-2 User Handbook).
NATIVE_M: Final = (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20)
#: Mean and deviation of KappaMask's L1C U-Net inputs, as reflectance (km_predict data_generator.py, DN / 10000).
MEAN: Final[FloatArray] = np.array(
    [2104, 1861, 1697, 1612, 1848, 2621, 2969, 2877, 3172, 1232, 157, 1887, 1291], np.float32
) / np.float32(1e4)
STD: Final[FloatArray] = np.array(
    [1612, 1638, 1645, 1822, 1815, 1861, 1966, 1914, 2025, 1101, 295, 1396, 1147], np.float32
) / np.float32(1e4)
#: Rayleigh optical depth at sea level, 0.008735 * wavelength_um ** -4.08 (Bodhaine et al. 1999, fitted form).
WAVELENGTH_UM: Final[FloatArray] = np.array(
    [0.443, 0.492, 0.560, 0.665, 0.704, 0.741, 0.783, 0.833, 0.865, 0.945, 1.373, 1.614, 2.202], np.float32
)
#: Exponent by which the optical depth of fine aerosol falls with the wavelength (Ångström); 0 is grey.
ANGSTROM: Final = 1.3
RAYLEIGH: Final[FloatArray] = (0.008735 * WAVELENGTH_UM**-4.08).astype(np.float32)
#: Two-way transmission of ozone, oxygen and methane in mid-latitude air, rounded, without water vapour.
GAS: Final[FloatArray] = np.array([0.99, 0.98, 0.93, 0.96, 0.97, 0.97, 0.98, 0.97, 0.99, 1, 1, 0.97, 0.95], np.float32)
#: Strength of water vapour in the square-root law exp(-k sqrt(m W)), W in cm; fitted to B09/B8A and B10 of the public
#: pixel sample named in docs/training-rounds.md (snow reaches B10 = 0.05 in dry air, clouds at 2 km stay below 0.008).
VAPOUR: Final[FloatArray] = np.array(
    [0, 0, 0, 0.005, 0.01, 0.01, 0.005, 0.02, 0.005, 0.65, 3.5, 0.01, 0.02], np.float32
)
#: Water vapour in cm where a scene cannot tell, and the reflectance in B8A from which a pixel can.
USUAL_WATER_CM, BRIGHT_B8A = 1.2, 0.05
#: Colour of thick cloud relative to B03: medians of cloudy pixels brighter than 0.5 in B02 of the same sample, with
#: vapour removed from B09 and B10; water droplets (B10 < 0.005) and ice (B10 > 0.02).
WATER_CLOUD: Final[FloatArray] = np.array(
    [1.06, 1.04, 1, 1.065, 1.055, 1.095, 1.145, 1.085, 1.17, 0.90, 0.60, 0.94, 0.69], np.float32
)
ICE_CLOUD: Final[FloatArray] = np.array(
    [1.105, 1.075, 1, 1.055, 1.08, 1.09, 1.115, 1.095, 1.12, 1.0, 0.60, 0.46, 0.44], np.float32
)
#: Deviation of the logarithm of B11 and B12 together, and of B12 alone, for water and ice (same pixels, 10 to 90 %).
ABSORPTION_SPREAD: Final = {False: (0.22, 0.08), True: (0.38, 0.12)}
#: Base-to-height ratio of each band's view against B02's along the track (layout of the MSI focal plane).
PARALLAX: Final[FloatArray] = np.array(
    [0.033, 0, 0.008, 0.012, 0.016, 0.020, 0.024, 0.004, 0.029, 0.037, 0.008, 0.018, 0.028], np.float32
)


def compute_air_mass(sun_zenith_deg: float) -> float:
    """Return the two-way relative air mass for a nadir view: 1/cos(zenith) + 1."""
    return float(1 / np.cos(np.radians(sun_zenith_deg)) + 1)


def transmit_through_vapour(water_cm: float, height_km: float, sun_zenith_deg: float) -> FloatArray:
    """Return the two-way transmission (13,) of water vapour above `height_km`.

    Its scale height is 2 km.
    """
    column = water_cm * np.exp(-height_km / 2) * compute_air_mass(sun_zenith_deg)
    return np.asarray(np.exp(-VAPOUR * np.sqrt(column)), np.float32)


def compute_path_reflectance(sun_zenith_deg: float, aot: float, angstrom: float = ANGSTROM) -> FloatArray:
    """Return the reflectance (13,) of clear air above black ground.

    Molecules and aerosol (`aot` at 550 nm) scatter once. angstrom: exponent of the aerosol's depth by wavelength.
    """
    cosine = np.cos(np.radians(sun_zenith_deg))
    molecules = RAYLEIGH * 0.75 * (1 + cosine**2) / (4 * cosine)
    aerosol = 0.06 * aot * (WAVELENGTH_UM / 0.55) ** -angstrom / cosine
    dry = molecules + aerosol
    dry[B10] = 0.0
    return np.asarray(dry * np.where(VAPOUR > 0.5, 0.5, 1.0), np.float32)


def compute_diffuse_share(sun_zenith_deg: float, aot: float) -> FloatArray:
    """Return the share (13,) of the light on the ground that is the sky's.

    Half of what molecules scatter, 4/5 of aerosol's.
    """
    scattered = 0.5 * RAYLEIGH + 0.8 * aot * (WAVELENGTH_UM / 0.55) ** -ANGSTROM
    return np.asarray(1 - np.exp(-scattered / np.cos(np.radians(sun_zenith_deg))), np.float32)


def transmit_through_air(sun_zenith_deg: float, aot: float, angstrom: float = ANGSTROM) -> FloatArray:
    """Return the two-way transmission (13,) of air without vapour.

    Half the molecules' light is lost, a sixth of the aerosol's.
    """
    depth = 0.5 * RAYLEIGH + 0.16 * aot * (WAVELENGTH_UM / 0.55) ** -angstrom
    return np.asarray(GAS * np.exp(-depth * compute_air_mass(sun_zenith_deg)), np.float32)


def estimate_water(reflectance: FloatArray, sun_zenith_deg: float) -> float:
    """Estimate the water vapour in cm of `reflectance` (13, y, x).

    From the median B09 / B8A; 1.2 cm where that is not possible.
    """
    return estimate_water_from_ratio(measure_vapour_ratio(reflectance), sun_zenith_deg)


def measure_vapour_ratio(reflectance: FloatArray) -> float:
    """Return the median B09 / B8A of pixels that are bright in B8A.

    NaN where none is.
    """
    bright = reflectance[B8A] > BRIGHT_B8A
    return float(np.nanmedian(reflectance[B09][bright] / reflectance[B8A][bright])) if bright.any() else float("nan")


def estimate_water_from_ratio(ratio: float, sun_zenith_deg: float) -> float:
    """Convert the median B09 / B8A of bright pixels to water vapour in cm.

    1.2 cm where that cannot be, or is NaN.
    """
    if not 0.02 < ratio < 0.95:
        return USUAL_WATER_CM
    return float((np.log(ratio) / VAPOUR[B09]) ** 2 / compute_air_mass(sun_zenith_deg))


def compute_surface_factors(ratio: float, sun_zenith_deg: float, aot: float) -> tuple[FloatArray, FloatArray]:
    """Return path reflectance and transmission, both (13,), between L2A and L1C."""
    vapours = transmit_through_vapour(estimate_water_from_ratio(ratio, sun_zenith_deg), 0.0, sun_zenith_deg)
    return compute_path_reflectance(sun_zenith_deg, aot), transmit_through_air(sun_zenith_deg, aot) * np.maximum(
        vapours, 0.05
    )


def to_surface(toa: FloatArray, sun_zenith_deg: float, aot: float) -> FloatArray:
    """Approximate L2A from L1C, both (13, y, x).

    Path reflectance is subtracted, transmission divided out; B10 becomes 0 and means absent.
    """
    air, scale = compute_surface_factors(measure_vapour_ratio(toa), sun_zenith_deg, aot)
    surface = np.maximum((toa - air[:, None, None]) / scale[:, None, None], 0.0001)
    surface[B10] = 0.0
    return np.asarray(surface, np.float32)


def to_top(surface: FloatArray, sun_zenith_deg: float, aot: float, water_cm: float) -> FloatArray:
    """Approximate L1C from surface reflectance, both (13, y, x).

    The inverse of `to_surface`, with B10 made from vapour.
    """
    scale = transmit_through_air(sun_zenith_deg, aot) * transmit_through_vapour(water_cm, 0.0, sun_zenith_deg)
    return np.asarray(
        compute_path_reflectance(sun_zenith_deg, aot)[:, None, None] + scale[:, None, None] * surface, np.float32
    )
