"""Compare many masks over one data set; each patch is read once."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from kappamask.datasets import Patch
from kappamask.evaluation.counts import ConfusionCounts, MergedClasses
from kappamask.evaluation.metrics import IGNORED
from kappamask.evaluation.strata import find_land_cover
from kappamask.evaluation.tools import Peer
from kappamask.models import KappaMaskError, SceneError

__all__ = ["Comparison", "PeerRecord", "compare"]

MEGAPIXEL = 1e6


@dataclass
class PeerRecord:
    """Counts, times and failures of one peer."""

    peer: Peer
    tally: ConfusionCounts = field(default_factory=ConfusionCounts)
    failures: Counter[str] = field(default_factory=Counter)
    """Why it could not -> at how many patches."""
    seconds: float = 0.0
    pixels: int = 0
    """Pixels that it masked, and how long that took, without reading and the first patch, when networks are loaded."""
    _first: tuple[float, int] | None = None

    def judge(self, patch: Patch, name: str) -> None:
        """Mask the patch and count it as `name`; record failures."""
        try:
            start = perf_counter()
            answer = self.peer.run(patch)
            took = perf_counter() - start
            merge = MergedClasses(thin=patch.merges_thin, shadow=not patch.tells_shadow)
            self.tally.add(name, patch.truth, answer.mask, group=patch.group, scores=answer.scores, merge=merge)
        except KappaMaskError as error:
            self.failures[str(error)] += 1
            return
        if self._first is None:
            self._first = took, patch.truth.size
        else:
            self.seconds, self.pixels = self.seconds + took, self.pixels + patch.truth.size

    @property
    def seconds_per_megapixel(self) -> float | None:
        """Return the seconds of the mask alone, or None where nothing was timed.

        Of one patch the time of loading is included.
        """
        seconds, pixels = (self.seconds, self.pixels) if self.pixels else self._first or (0.0, 0)
        return seconds / pixels * MEGAPIXEL if pixels and self.peer.timed else None


@dataclass
class Comparison:
    """All peers over a data set."""

    standings: list[PeerRecord]
    scenes: dict[str, int] = field(default_factory=dict)
    """Names of the patches that were judged, and their places in the data set; of two of one name the second has its
    place in its name."""
    grounds: dict[str, frozenset[str]] = field(default_factory=dict)
    """Patch -> its strata by ground."""
    groups: set[str] = field(default_factory=set)
    """Products or places that they come from."""
    unjudged: int = 0
    """Patches whose truth labels no pixel."""
    without_shadow: int = 0
    """Patches whose truth does not tell shadow from clear; there shadow counts as clear, in masks too."""
    merges_thin: bool = False
    """Whether a truth does not tell thin cloud from thick; then no score does."""

    def add(self, place: int, patch: Patch) -> None:
        """Judge every peer on the patch at this place of the data set."""
        if np.isin(patch.truth, IGNORED).all():
            self.unjudged += 1
            return
        name = patch.name if patch.name not in self.scenes else f"{patch.name} #{place}"
        self.scenes[name] = place
        self.groups.add(patch.group)
        self.grounds[name] = find_land_cover(patch)
        self.without_shadow += not patch.tells_shadow
        self.merges_thin |= patch.merges_thin
        for standing in self.standings:
            standing.judge(patch, name)


def compare(
    patches: Sequence[Patch],
    peers: Sequence[Peer],
    report: Callable[[int, int], None] | None = None,
    *,
    merge_thin: bool | None = None,
) -> Comparison:
    """Mask every patch by every peer, and count against the truth.

    A peer that cannot mask a patch leaves the others running: `PeerRecord.failures` says why. report: is called with
    how many patches are done and how many there are. merge_thin: whether thin cloud counts as cloud; None: where the
    patches say that their labels do not tell it. Raises SceneError if a patch cannot be read, two peers have one name,
    or nothing could be judged.
    """
    names = Counter(peer.name for peer in peers)
    if max(names.values(), default=0) > 1:
        raise SceneError(f"Each peer needs a name of its own; {names.most_common(1)[0][0]} is given twice.")
    found = Comparison([PeerRecord(peer) for peer in peers])
    for done in range(len(patches)):
        patch = patches[done]
        found.add(done, patch if merge_thin is None else replace(patch, merges_thin=merge_thin))
        if report:
            report(done + 1, len(patches))
    _check_peers(found)
    return found


def _check_peers(found: Comparison) -> None:
    if not found.scenes:
        raise SceneError(f"The truth of all {found.unjudged} patches labels no pixel; there is nothing to judge.")
    if not any(one.tally.scenes for one in found.standings):
        reasons = "; ".join(f"{one.peer.name}: {next(iter(one.failures))}" for one in found.standings)
        raise SceneError(f"No peer could mask any patch. {reasons}")
