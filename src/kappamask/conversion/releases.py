"""Band order and largest values by architecture and level, which the weights lack.

Of the release of 2022-09-13 (data_generator.py of km_predict): inputs are DN / 65535 / max, negatives become 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kappamask.models import SENTINEL2_BANDS

RELEASE: Final = "2022-09-13"
FULL: Final = 65535
"""What digital numbers are divided by."""
L1C: Final = SENTINEL2_BANDS[:13]
L2A: Final = ("AOT", *(band for band in L1C if band != "B10"), "WVP")


@dataclass(frozen=True)
class Official:
    """An official network: its bands in order, and for each the largest DN / 65535."""

    bands: tuple[str, ...]
    largest: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.bands) == len(self.largest)


# fmt: off
OFFICIAL: Final = {
    ("unet", "L1C"): Official(L1C, (
        0.21, 0.326, 0.264, 0.298, 0.245, 0.258, 0.266, 0.364, 0.259, 0.165, 0.055, 0.203, 0.208,
    )),
    ("unet", "L2A"): Official(tuple(band for band in L2A if band != "B07"), (
        0.003906309604644775, 0.2833447754383087, 0.27905699610710144, 0.2668497860431671, 0.2558480203151703,
        0.250980406999588, 0.24597543478012085, 0.24182498455047607, 0.24206912517547607, 0.2535133957862854,
        0.2232242375612259, 0.23524834215641022, 0.07557793706655502,
    )),
    ("deeplabv3plus", "L1C"): Official(L1C, (
        0.2065003365278244, 0.3510643243789673, 0.3327534794807434, 0.3624475598335266, 0.29547569155693054,
        0.29562827944755554, 0.29103532433509827, 0.3791866898536682, 0.2850232720375061, 0.18451209366321564,
        0.0799115002155304, 0.24786755442619324, 0.24827954173088074,
    )),
    ("deeplabv3plus", "L2A"): Official(L2A, (
        0.010711833834648132, 0.32552072405815125, 0.3022507131099701, 0.28221559524536133, 0.2690470814704895,
        0.27560845017433167, 0.2571450471878052, 0.2557412087917328, 0.2529335618019104, 0.2544899582862854,
        0.2657511234283447, 0.2381628155708313, 0.2401922643184662, 0.14035248756408691,
    )),
}
# fmt: on
