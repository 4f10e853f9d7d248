"""Paint skies over grounds on the GPU, for a whole batch at once.

The formulas and tables are those of `simulator.paint` and `simulator.tiles`; the parameters of each sample are drawn
with NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kappamask.training.gpu.images import (
    blur,
    create_generator,
    resample_to_native,
    shift_bands,
    to_device_of,
    to_planes,
)
from kappamask.training.simulator import illumination, sky, tiles
from kappamask.training.simulator import paint as simulate
from kappamask.training.simulator.clouds import Layer
from kappamask.training.simulator.components import SkyParameters
from kappamask.training.simulator.illumination import BACKSCATTER, PROBE_BANDS
from kappamask.training.simulator.paint import CLEAR, CLOUD, SHADOW, THIN
from kappamask.training.simulator.sky import EDGE_PX
from kappamask.training.simulator.spectra import (
    B02,
    B09,
    B8A,
    B10,
    B11,
    BRIGHT_B8A,
    FloatArray,
    compute_diffuse_share,
    compute_path_reflectance,
    estimate_water_from_ratio,
    transmit_through_vapour,
)
from kappamask.training.simulator.tiles import LAYERS

__all__ = [
    "LayerBatch",
    "cast_shadows",
    "draw_log_uniform",
    "label_truth",
    "light_ground",
    "measure_vapour_ratios",
    "measure_water",
    "overlay_layer",
    "paint_batch",
]


def paint_batch(
    ground: Tensor, planes: Tensor, numbers: Sequence[SkyParameters], spectra: FloatArray, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Paint skies over `ground` (n, 13, y, x), TOA reflectance.

    planes: (n, 5, y + 48, x), as `tiles` stores them.

    Returns scenes like `ground`, and their truth, int64 (n, y, x).
    """
    count, device = len(ground), ground.device
    clear = torch.from_numpy(rng.random(count) < tiles.CLOUD_FREE).to(device)
    planes = torch.where(clear[:, None, None, None], 0.0, planes.float())
    beam = torch.where(clear[:, None, None], 1.0, planes[:, -1, EDGE_PX:-EDGE_PX])
    scene, aot = light_ground(ground, numbers, rng)
    waters = measure_water(scene, numbers)
    scene, drop = cast_shadows(scene, beam, numbers, aot, rng)
    through, b10 = torch.ones_like(beam), torch.zeros_like(beam)
    for number in range(LAYERS):
        layer = LayerBatch(planes[:, 2 * number], planes[:, 2 * number + 1], number, numbers)
        scene, opacity, b10_added = overlay_layer(scene, layer, waters, spectra, rng)
        through, b10 = through * (1 - opacity) ** 2, b10 + b10_added
    truth = label_truth(blur(through, simulate.BLUR_PX), b10, beam, drop)
    scene = resample_to_native(scene, [n.pixel_m for n in numbers], rng)
    noise = torch.randn(scene.shape, generator=create_generator(device, rng), device=device) * tiles.compute_noise(
        scene
    )
    return (scene + noise).clip(1e-4, 3.0), truth


def light_ground(
    scene: Tensor, numbers: Sequence[SkyParameters], rng: np.random.Generator
) -> tuple[Tensor, FloatArray]:
    """Change brightness, light and haze of the ground.

    Returns the scene, and the aerosol (n,) over its shadows.
    """
    count = len(scene)
    scene = (scene * to_planes(np.stack([tiles.draw_brightness(rng)[:, 0, 0] for _ in numbers]), scene)).clip(1e-4, 1.2)
    left = np.where(rng.random(count) < tiles.DIM, rng.uniform(*tiles.DIM_TO, count), 1.0)
    air = torch.minimum(
        to_planes(np.stack([compute_path_reflectance(n.zenith_deg, tiles.CLEAR_AIR) for n in numbers]), scene),
        0.9 * scene,
    )
    scene = air + (scene - air) * to_planes(left[:, None], scene)
    hazy, aot = rng.random(count) < tiles.HAZY, draw_log_uniform(tiles.HAZE, count, rng)
    drawn = draw_log_uniform(illumination.AOT, count, rng)
    pairs = [
        tiles.compute_haze(n.zenith_deg, a if h else tiles.CLEAR_AIR)
        for n, a, h in zip(numbers, aot, hazy, strict=True)
    ]
    light, loss = (to_planes(np.stack(values), scene) for values in zip(*pairs, strict=True))
    return light + loss * scene, np.where(hazy, aot, drawn).astype(np.float32)


def draw_log_uniform(limits: tuple[float, float], count: int, rng: np.random.Generator) -> FloatArray:
    """Draw numbers (n,) whose logarithms are uniform between those of `limits`."""
    low, high = (float(np.log(limit)) for limit in limits)
    return np.exp(rng.uniform(low, high, count)).astype(np.float32)


def measure_water(scene: Tensor, numbers: Sequence[SkyParameters]) -> list[float]:
    """Estimate the water vapour in cm of each scene, as `spectra.estimate_water` does."""
    ratios = measure_vapour_ratios(scene)
    return [estimate_water_from_ratio(float(r), n.zenith_deg) for r, n in zip(ratios, numbers, strict=True)]


def measure_vapour_ratios(scene: Tensor) -> FloatArray:
    """Return the median B09 / B8A of each scene's bright pixels (n,).

    As `spectra.measure_vapour_ratio`, but over every fourth row and column.
    """
    part = scene[:, :, ::4, ::4]
    ratio = torch.where(part[:, B8A] > BRIGHT_B8A, part[:, B09] / part[:, B8A], torch.nan)
    return np.asarray(ratio.flatten(1).nanmedian(dim=1).values.cpu().numpy())


def cast_shadows(
    scene: Tensor, beam: Tensor, numbers: Sequence[SkyParameters], aot: FloatArray, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Cast shadows on the ground; also return the largest relative drop (n, y, x).

    As `illumination.cast_shadows`.
    """
    sides = rng.uniform(*illumination.SIDES, len(scene))
    pairs = [
        (compute_path_reflectance(n.zenith_deg, a), compute_diffuse_share(n.zenith_deg, a))
        for n, a in zip(numbers, aot, strict=True)
    ]
    light, diffuse = (np.stack(values) for values in zip(*pairs, strict=True))
    air = torch.minimum(to_planes(light, scene), 0.95 * scene.amin(dim=(2, 3), keepdim=True))
    share = to_planes(np.minimum(diffuse + sides[:, None], 0.9), scene)
    shaded = illumination.illuminate(scene, air, share, beam[:, None])
    seen = list(PROBE_BANDS)
    before, fallen = scene[:, seen], (scene - shaded)[:, seen]
    drop = torch.where(fallen > illumination.LEAST_DROP, fallen / before.clip(min=1e-4), 0).amax(dim=1)
    return shaded, drop


@dataclass(frozen=True)
class LayerBatch:
    """The layer of one number in each sky of a batch."""

    depth: Tensor
    """(n, y + 48, x), optical depth."""
    slopes: Tensor
    """(n, y + 48, x), brightness of the slopes, -1 to 1."""
    number: int
    """0 is the lower layer."""
    skies: Sequence[SkyParameters]


def overlay_layer(
    scene: Tensor, batch: LayerBatch, waters: Sequence[float], spectra: FloatArray, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Paint a layer of each sky over `scene` (n, 13, y, x).

    waters: water vapour in cm of each scene. spectra: as in `paint_batch`.
    Also returns the layer's opacity in B02 and its light in B10, both (n, y, x).
    """
    depth, slopes = batch.depth, batch.slopes
    layers = [one.layer(batch.number) for one in batch.skies]
    pairs = zip(layers, batch.skies, waters, strict=True)
    colour = np.stack([_draw_colour(layer, n.zenith_deg, w, spectra, rng) for layer, n, w in pairs])
    rows = np.stack([sky.shift_by_parallax(n.base_km[batch.number], n.pixel_m, rng) for n in batch.skies])
    back = np.array([BACKSCATTER[layer.kind.ice] for layer in layers], np.float32)[:, None, None]
    strength = rng.uniform(*simulate.RELIEF, (len(layers), 1, 1)).astype(np.float32)
    opacity = shift_bands(illumination.compute_two_stream_reflectance(to_device_of(back, depth) * depth), rows)
    bright = shift_bands(1 + to_device_of(strength, slopes) * slopes, rows)
    tint = to_planes(colour, scene).expand_as(opacity).clone()
    thin = illumination.THINNEST + (1 - illumination.THINNEST) * opacity[:, B11:]
    tint[:, B11:] = tint[:, B11:] ** thin
    light = opacity * tint * bright
    return light + illumination.transmit_through_cloud(scene, opacity), opacity[:, B02], light[:, B10]


def _draw_colour(
    layer: Layer, zenith_deg: float, water_cm: float, spectra: FloatArray, rng: np.random.Generator
) -> FloatArray:
    colour = illumination.draw_real_colour(layer, spectra, rng)
    if colour is None:
        above = transmit_through_vapour(water_cm, layer.base_km + 0.6 * layer.thick_km, zenith_deg)
        colour = illumination.draw_table_colour(layer, rng) * above
    return np.asarray(colour, np.float32)


def label_truth(through: Tensor, b10: Tensor, beam: Tensor, drop: Tensor) -> Tensor:
    """Label (n, y, x) as the NumPy simulator does; ambiguous shadow is 0."""
    dark = ((beam < simulate.BEAM) & (drop > simulate.DROP)).float()[:, None]
    near = functional.avg_pool2d(functional.pad(dark, (1, 1, 1, 1), mode="replicate"), 3, 1)[:, 0]
    truth = torch.where(near > 0.5, SHADOW, CLEAR)
    truth = torch.where(b10 > simulate.VISIBLE_B10, THIN + simulate.ONLY_B10, truth)
    truth = torch.where(1 - through > simulate.VISIBLE, THIN, truth)
    truth = torch.where(1 - through > simulate.OPAQUE, CLOUD, truth)
    shade, sunny = ((truth == code).sum(dim=(1, 2), keepdim=True) for code in (SHADOW, CLEAR))
    return torch.where((truth == SHADOW) & (shade > simulate.ALL_SHADE * (shade + sunny)), 0, truth)
