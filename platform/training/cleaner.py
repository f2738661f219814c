"""Who gives a training's processors back to the cluster when what Ray Train started for it is killed.

A module of its own: the cleaner's process imports what is in it, and nothing of PyTorch.
"""

import os
from typing import Any

from ray._private.state import actors
from ray.train.v2._internal.callbacks import placement_group_callback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller.placement_group_cleaner import PlacementGroupCleaner


class _Cleaner(PlacementGroupCleaner):  # type: ignore[misc]
    """Asks its own cluster whether the controller lives, and ends with its process.

    Ray's own looks for a cluster on this machine, where there may be several, and then watches no more; and where it ends, it
    ends the watching thread, not the process.
    """

    def _monitor_loop(self) -> None:
        while not self._stop_event.wait(self._check_interval_s):
            if actors(self._controller_actor_id).get("State") in (None, "DEAD"):
                while not self._pg_queue.empty():
                    self._cleanup_placement_group(self._pg_queue.get())
                os._exit(0)


class CleanerCallback(PlacementGroupCleanerCallback):  # type: ignore[misc]
    """Ray Train's, with the cleaner above."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Start the cleaner, from the controller's process."""
        placement_group_callback.PlacementGroupCleaner = _Cleaner
        super().after_controller_start(train_run_context)
