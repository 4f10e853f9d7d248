"""Do a whole task in one call: mask scenes, or submit and fetch a batch.

The commands `kappamask mask`, `submit`, `resume` and `fetch` call these functions. Importing them loads nothing heavy.
"""

from kappamask.workflows.batch import (
    BatchPlan,
    cancel,
    fetch,
    list_jobs,
    plan_batch,
    resume,
    submit_batch,
)
from kappamask.workflows.batch_options import BatchOptions, OptionError
from kappamask.workflows.batch_results import BatchFailedError, BatchResult
from kappamask.workflows.many_scenes import RunOptions, ScenesFailedError, mask_many, plan_mask
from kappamask.workflows.one_scene import mask_scene
from kappamask.workflows.progress import BatchProgress, no_progress
from kappamask.workflows.scene_options import SceneOptions

__all__ = [
    "BatchFailedError",
    "BatchOptions",
    "BatchPlan",
    "BatchProgress",
    "BatchResult",
    "OptionError",
    "RunOptions",
    "SceneOptions",
    "ScenesFailedError",
    "cancel",
    "fetch",
    "list_jobs",
    "mask_many",
    "mask_scene",
    "no_progress",
    "plan_batch",
    "plan_mask",
    "resume",
    "submit_batch",
]
