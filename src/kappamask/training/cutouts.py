"""Cut clouds and shadows out of labelled scenes and lay them over clear ones.

A cloud that lets the share t of the light through turns ground g into n = a + t g. What it adds, a, follows from n and
from clear ground around it; over other ground c one sees a + t c. A shadow leaves the share r of the ground's light in
each band: g r here, c r elsewhere. Only what is labelled is cut out; the rim around it is blended and not judged.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kappamask.datasets import Patch, class_sets
from kappamask.training.simulator.spectra import B02, B10, BANDS, FloatArray

__all__ = ["CutOut", "CutOuts", "cut_out"]

CLOUD_B02: Final = 0.7
"""Reflectance of B02 of cloud that nothing is seen through: the median of 14 labelled images of closed cloud is 0.69,
from 0.39 to 0.95."""
RIM_PX: Final = 5
"""Width of the rim in which a cut-out fades into its new ground: labels are eroded by 2 px, edges are 2 px soft."""
GROUND_SIGMA_PX: Final = 24
"""Smoothing of clear pixels that stand for the ground below a cloud."""
SHADOW_SIGMA_PX: Final = 1.5
"""Smoothing of a shadow's shares: less of the texture of the old ground comes along."""
LEAST_CLEAR, LEAST_CLOUD, LEAST_SHADOW = 0.05, 0.01, 0.01
"""Shares of an image that must be clear, and cloud or shadow, to cut something out of it."""
SHADOW_PER_CLOUD: Final = 0.15
"""Share of the area of thick cloud that its labelled shadow must have."""
GROUND_CLEAR: Final = 0.95
"""Share of an image that must be labelled clear to be laid under a cut-out."""
VISIBLE_CHANGE, VISIBLE_HAZE, VISIBLE_B10 = 0.015, 0.03, 0.0045
"""Change of reflectance below which nothing is judged: shadow on black water; thin cloud, by B02; cirrus, by B10."""
SNOW_B02, SNOW_CHANGE = 0.45, 0.05
"""On ground so bright in B02, cloud and shadow are judged where they change B02 by so much: with few bands, flat snow
and cloud look the same."""
SHOWING: Final = [BANDS.index(band) for band in ("B02", "B08", "B8A", "B11")]
PLANES: Final = ("added", "passed", "shares", "weight", "sets", "sets_without_b10")


@dataclass(frozen=True)
class CutOut:
    """Cloud and shadow of one image, without its ground.

    Planes are float16, to keep many in memory.
    """

    place: str
    level: str
    added: NDArray[np.float16]
    """(13, y, x) reflectance that the cloud adds; NaN where a band is absent."""
    passed: FloatArray
    """(y, x) share of the ground's light that comes through the cloud, 0 to 1."""
    shares: NDArray[np.float16]
    """(13, y, x) share of the ground's light that the shadow leaves, 0 to 1."""
    weight: FloatArray
    """(y, x) 1 in the cloud, 0 beyond its rim."""
    sets: NDArray[np.uint8]
    sets_without_b10: NDArray[np.uint8]
    """(y, x) classes of cloud and shadow as in `class_sets`; `NOT_JUDGED` in rims, `CLEAR` elsewhere."""

    def apply(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "CutOut":
        """Return the cut-out with every plane changed, as by a crop or a turn."""
        planes: dict[str, Any] = {name: change(getattr(self, name)) for name in PLANES}
        return replace(self, **planes)

    def lay_over(self, ground: FloatArray) -> FloatArray:
        """Put this cloud and shadow over the clear scene `ground` (13, y, x).

        Both have the same size.
        """
        shaded = ground * self.shares.astype(np.float32)
        clouded = self.added.astype(np.float32) + self.passed * shaded
        return np.asarray(shaded + self.weight * (clouded - shaded), np.float32)


def cut_out(patch: Patch) -> CutOut | None:
    """Cut the labelled clouds and shadows out of a patch.

    None where less than `LEAST_CLEAR` is clear ground, or less than `LEAST_CLOUD` cloud and `LEAST_SHADOW` shadow, or
    where the shadows of thick cloud are not labelled: their ground would be taught as clear.
    """
    sets, unseen = patch.class_sets(), patch.class_sets(with_b10=False)
    cloud = ((sets & class_sets.CLOUD_OF_EITHER_KIND) > 0) & ((sets & class_sets.CLEAR_OR_SHADOW) == 0)
    shadow = sets == class_sets.SHADOW
    clear = sets == class_sets.CLEAR
    thick = (sets == class_sets.CLOUD).mean()
    if clear.mean() < LEAST_CLEAR or (cloud.mean() < LEAST_CLOUD and shadow.mean() < LEAST_SHADOW):
        return None
    if thick > LEAST_CLOUD and shadow.mean() < SHADOW_PER_CLOUD * thick:
        return None
    scene = patch.stack(BANDS)
    ground = _estimate_ground(scene, clear)
    body, shade, rim = _fade_mask(cloud), _fade_mask(shadow), (_fade_mask(cloud | shadow) > 0) & ~cloud & ~shadow
    opacity = np.clip((scene[B02] - ground[B02]) / (CLOUD_B02 - ground[B02]), 0, 1)
    passed = np.where(body > 0, 1 - np.nan_to_num(opacity), 1).astype(np.float32)
    both = [
        np.where(rim, class_sets.NOT_JUDGED, np.where(cloud | shadow, one, class_sets.CLEAR)).astype(np.uint8)
        for one in (sets, unseen)
    ]
    return CutOut(
        patch.group, patch.level, (scene - passed * ground).astype(np.float16), passed,
        _measure_shadow(scene, ground, shade).astype(np.float16), body, *both,
    )  # fmt: skip


def _estimate_ground(scene: FloatArray, clear: NDArray[np.bool_]) -> FloatArray:
    """Estimate the ground (13, y, x) below clouds from clear pixels around.

    Near ones count most.
    """
    known = ndimage.gaussian_filter(clear.astype(np.float32), GROUND_SIGMA_PX) + 1e-6
    near = known / (known + 1e-3)
    planes = []
    for plane in scene:
        median = np.float32(np.median(plane[clear]))
        smooth = ndimage.gaussian_filter(np.where(clear, plane, 0), GROUND_SIGMA_PX) / known
        planes.append(near * smooth + (1 - near) * median)
    return np.asarray(planes, np.float32)


def _measure_shadow(scene: FloatArray, ground: FloatArray, weight: FloatArray) -> FloatArray:
    """Measure the share of light (13, y, x) that shadow leaves: 1 beyond its rim."""
    shares = np.clip(scene / np.maximum(ground, 1e-3), 0, 1)
    smooth = np.stack([ndimage.gaussian_filter(plane, SHADOW_SIGMA_PX) for plane in shares])
    return np.asarray(1 - weight * (1 - smooth), np.float32)


def _fade_mask(mask: NDArray[np.bool_]) -> FloatArray:
    """Return 1 in `mask`, falling to 0 over `RIM_PX` pixels around it."""
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    return np.asarray(np.clip(1 - ndimage.distance_transform_edt(~mask) / (RIM_PX + 1), 0, 1), np.float32)


class CutOuts:
    """Cut-outs and clear scenes of labelled patches.

    Each place is drawn as often as the others.
    """

    def __init__(self, patches: Sequence[Patch]) -> None:
        self.grounds = [p for p in patches if np.mean(p.class_sets() == class_sets.CLEAR) >= GROUND_CLEAR]
        levels = {ground.level for ground in self.grounds}
        found = (cut_out(patch) for patch in patches if patch.level in levels)
        self.cutouts = [one for one in found if one is not None]
        self.shares = _share_by_place([one.place for one in self.cutouts])
        self.ground_shares = {
            level: _share_by_place([p.group if p.level == level else None for p in self.grounds]) for level in levels
        }

    def __len__(self) -> int:
        return len(self.cutouts)

    def draw(self, rng: np.random.Generator) -> Patch:
        """Lay a random cut-out over a random clear scene of its level.

        Each is turned on its own.
        """
        cutout = self.cutouts[int(rng.choice(len(self.cutouts), p=self.shares))]
        ground = self.grounds[int(rng.choice(len(self.grounds), p=self.ground_shares[cutout.level]))]
        size = min(*cutout.sets.shape, *ground.truth.shape)
        over, below = _draw_square(cutout.sets.shape, size, rng), _draw_square(ground.truth.shape, size, rng)
        piece = cutout.apply(over)
        clear, scene = below(ground.class_sets()) == class_sets.CLEAR, below(ground.stack(BANDS))
        clouded = piece.lay_over(scene)
        seen, cirrus = _find_visible(piece, scene, clouded)
        sets, unseen = (
            np.where(np.where(one == class_sets.CLEAR, clear, shown), one, class_sets.NOT_JUDGED).astype(np.uint8)
            for one, shown in ((piece.sets, seen | cirrus), (piece.sets_without_b10, seen))
        )
        return replace(
            ground, name=f"{cutout.place} over {ground.name}", bands=BANDS, reflectance=clouded,
            truth=class_sets.to_codes(sets), sets=sets, sets_without_b10=unseen,
        )  # fmt: skip


def _find_visible(piece: CutOut, scene: FloatArray, clouded: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find where a cut-out shows over a scene.

    Both (y, x): in bands other than B10, and in B10.
    """
    change = np.nan_to_num(np.abs(clouded - scene))
    seen = (change[SHOWING].max(axis=0) > VISIBLE_CHANGE) & ((scene[B02] < SNOW_B02) | (change[B02] > SNOW_CHANGE))
    thin = piece.sets == class_sets.SEMI_TRANSPARENT
    return seen & (~thin | (change[B02] > VISIBLE_HAZE)), change[B10] > VISIBLE_B10


def _draw_square(shape: tuple[int, ...], size: int, rng: np.random.Generator) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that cuts a random square from planes (…, y, x).

    It has `size` pixels a side, and is turned and flipped.
    """
    (y, x), quarter, flip = rng.integers(0, np.array(shape) - size + 1), int(rng.integers(4)), int(rng.choice((-1, 1)))
    return lambda planes: np.rot90(planes[..., y : y + size, x : x + size], quarter, (-2, -1))[..., ::flip]


def _share_by_place(places: Sequence[str | None]) -> FloatArray:
    """Return the share of draws of each (n,): equal for places, and 0 for None."""
    counts = Counter(places)
    weights = np.array([0.0 if place is None else 1 / counts[place] for place in places])
    return np.asarray(weights / weights.sum() if weights.any() else weights)
