"""Where Albumentations calls a transform, and where AlbumentationsX does; both end in ``draw`` and ``paint``."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import albumentations as A
import numpy as np
from torch.utils.data import get_worker_info

from inpaint_transform.core import seeds

# AlbumentationsX, the same import name, decides about p by itself, gives each call a generator of its own and knows
# which Compose is calling. It refuses a transform class that declares the older hook, which is why these are a mixin.
IS_X = hasattr(A.BasicTransform, "sample_parameters")


class Hooks:
    """What a transform inherits before ``A.DualTransform``: the framework's hooks, and two methods behind them."""

    p: float
    py_random: random.Random
    _worker_seed: int | None = None
    _forced = False

    @property
    def always(self) -> bool:
        """Whether samples to which nothing happens are to be seen too."""
        return False

    def draw(self, data: Mapping[str, Any], stream: random.Random, *, forced: bool) -> dict[str, Any]:
        """Draw what is to be done to a sample, as JSON values.

        Args:
            data: The sample by key.
            stream: The framework's generator.
            forced: Whether the framework has decided that the transform is applied.
        """
        raise NotImplementedError

    def paint(self, drawn: Mapping[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Do what was drawn to a sample."""
        raise NotImplementedError

    def should_apply(self, force_apply: bool = False) -> bool:
        """Leave the decision to ``draw``, which sees the sample."""
        self._reseed_in_worker()
        self._forced = force_apply
        return self.p > 0 or self.always

    def _reseed_in_worker(self) -> None:
        """Give every worker and every epoch draws of its own: Albumentations 2.0.8 gives all of them the same."""
        info = get_worker_info()
        if info is None or info.seed == self._worker_seed:
            return
        self._worker_seed = info.seed
        name = type(self).__name__
        self.random_generator = np.random.default_rng(seeds.worker_rng(info.seed, 0, name).getrandbits(64))
        self.py_random = seeds.worker_rng(info.seed, self.py_random.getrandbits(64), name)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw; the sampling hook of Albumentations 2.0.8."""
        del params
        return self.draw(data, self.py_random, forced=self._forced)

    if IS_X:

        def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:
            """Draw; the sampling hook of AlbumentationsX."""
            del params, targets
            return A.SampledParams(params=self.draw(data, sampling.py_random, forced=True))

    def apply_with_params(self, params: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Paint; all targets at once, for the annotations depend on what became of the images."""
        del args
        return self.paint(params if isinstance(params, Mapping) else params.params, kwargs)


def box_processor(transform: Any) -> Any:
    """The ``BboxProcessor`` of the Compose that is calling the transform; None where there is none."""
    if IS_X:
        return transform.get_processor("bboxes")
    # A transform in two Composes only remembers the one that was made last, and would read the labels of one by the
    # coding of the other. Which one is calling, the stack alone says.
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, A.Compose) and caller.main_compose:
            return caller.processors.get("bboxes")
        frame = frame.f_back
    return None
