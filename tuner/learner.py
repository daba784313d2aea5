"""A cost model that learns while the search goes on: trained in a thread of its own, swapped in when it is ready."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence

from tuner.cost_model import CostModel, Example, TrainingSet, training_sets


class Learner:
    """Holds the model to ask now, and makes the next one.

    Args:
        model: to begin with.
        background: train in a thread; without it ``learn`` returns when the new model is there, which a search that
            must be repeatable needs.
    """

    def __init__(self, model: CostModel | None = None, background: bool = True) -> None:
        self.model = model or CostModel()
        self._background = background
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a model is being trained."""
        return self._thread is not None and self._thread.is_alive()

    def learn(self, examples: Sequence[Example]) -> bool:
        """Train on all examples; False, and nothing is done, where the last training has not ended yet."""
        if self.busy:
            return False
        # The features are Python's work, a moment at most: rows of earlier examples are known.
        sets = training_sets(examples)
        if not sets:
            return True
        if not self._background:
            self._train(sets)
            return True
        self._thread = threading.Thread(target=self._aside, args=(sets,), daemon=True, name="cost model")
        self._thread.start()
        return True

    def wait(self) -> None:
        """Until the model that is being trained is there."""
        if self._thread is not None:
            self._thread.join()

    def _aside(self, sets: dict[str, TrainingSet]) -> None:
        if sys.platform == "linux":
            # Kernels are being timed on these cores; only Linux has priorities of threads.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        self._train(sets)

    def _train(self, sets: dict[str, TrainingSet]) -> None:
        made = CostModel()
        made.train(sets)
        self.model = made
