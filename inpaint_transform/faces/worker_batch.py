"""Mini-batches in the workers: a dataset wrapper that loads the samples of a mini-batch at the same time."""

from __future__ import annotations

import copy
import os
import threading
import types
from collections.abc import Iterator, Sequence
from typing import Any

import albumentations as A
import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from inpaint_transform.core import seeds
from inpaint_transform.faces.editor import Editor
from inpaint_transform.faces.nested import mapped

TRANSFORMS = (A.BasicTransform, A.BaseCompose)

# Longer containers hold samples, not transforms or datasets: looking through millions of them would take seconds.
MAX_ITEMS = 1000


class ConcurrentDataset(Dataset[Any]):
    """Lets a DataLoader worker load the samples of a mini-batch at the same time.

    A worker that loads one sample after the other has one image in flight; with this wrapper it has ``batch_size``,
    so the server forms batches of up to ``num_workers * batch_size``. Every sample still goes through its transforms in
    their order, and comes back in the order of the indices. With ``BBoxInpaint(seed=int)`` in front of other random
    transforms, each sample's edits are those of the plain path.

    An ``A.Compose`` keeps state of the sample at hand and must not be shared by threads. So every place of the
    mini-batch gets a shallow copy of the dataset, made at the first mini-batch in a process: the data is shared, the
    Albumentations transforms are copied, and each copy has a random stream of its own, which follows from the worker's
    seed and the original transform's generator. torchvision's transforms are shared by the threads: they keep nothing,
    and draw from torch's generator. Transforms are found in attributes of the dataset, of
    the datasets and plain objects in them, and in lists, tuples and dicts of up to 1000 items; not in globals,
    closures and partials. What is assigned to the dataset after a process's first mini-batch does not reach the
    copies; ``BBoxInpaint.set_epoch`` does, and ``BBoxInpaint.stats`` counts what the copies did in its process.

    ``__getitem__`` must otherwise be safe to run in several threads: shared file handles are the usual obstacle.

    Args:
        dataset: A map-style dataset, which may be a ``Subset`` or ``ConcatDataset``. Its other attributes can be read
            through the wrapper.

    Raises:
        TypeError: The dataset is not map-style.
        ValueError: No Albumentations transform is found.

    Examples:
        >>> import albumentations as A
        >>> from inpaint_transform import BBoxInpaint
        >>> class Blanks(Dataset):
        ...     transform = None
        ...     def __init__(self): self.transform = A.Compose([BBoxInpaint(p=0)])
        ...     def __len__(self): return 8
        ...     def __getitem__(self, i): return self.transform(image=np.full((4, 4, 3), i, np.uint8))["image"]
        >>> loader = torch.utils.data.DataLoader(ConcurrentDataset(Blanks()), batch_size=4)
        >>> [batch[:, 0, 0, 0].tolist() for batch in loader]
        [[0, 1, 2, 3], [4, 5, 6, 7]]
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        if isinstance(dataset, IterableDataset) or not (
            hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        ):
            raise TypeError(
                f"dataset is a {type(dataset).__name__}, which has no indices to load concurrently; give a map-style "
                f"dataset with __getitem__ and __len__"
            )
        self.dataset = dataset
        self._slots: list[Any] = []
        self._made_for: tuple[int, int | None] | None = None
        found: list[tuple[Any, Any]] = []
        _copy(dataset, {}, found)
        if not found:
            raise ValueError(
                f"dataset={type(dataset).__name__}: no Albumentations transform found among its attributes, and a "
                f"transform shared by threads mixes up their draws; keep it in an attribute, e.g. self.transform"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Load the samples of a mini-batch, one thread each; the DataLoader calls this.

        Raises:
            Exception: What the first failing sample raised, after all threads have ended.
        """
        slots = self._take_slots(len(indices))
        if len(indices) <= 1:
            return [slot[index] for slot, index in zip(slots, indices, strict=True)]
        samples = [_Sample(slot, index) for slot, index in zip(slots, indices, strict=True)]
        for sample in samples:
            sample.start()
        for sample in samples:
            sample.join()
        return [sample.result() for sample in samples]

    def _take_slots(self, count: int) -> list[Any]:
        worker = get_worker_info()
        here = (os.getpid(), worker.seed if worker else None)
        if here != self._made_for:
            self._made_for, self._slots = here, []
        while len(self._slots) < count:
            copies: list[tuple[Any, Any]] = []
            slot = _copy(self.dataset, {}, copies)
            for original, copied in copies:
                if copied is original:  # torchvision's draw from torch's generator, which threads may share
                    continue
                # The draw moves the original on, so every slot differs, and follows a seed given to the Compose.
                name = f"slot {len(self._slots)}"
                rng = seeds.worker_rng(here[1] or 0, original.py_random.getrandbits(64), name)
                copied.set_random_seed(rng.getrandbits(32))
            self._slots.append(slot)
        return self._slots[:count]

    def __getattr__(self, name: str) -> Any:
        # Unpickling asks for special methods before there is a dataset.
        if name == "dataset" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.dataset, name)

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "_slots": [], "_made_for": None}


class _Sample(threading.Thread):
    """Loads one sample. A daemon, unlike the threads of an executor: Ctrl-C does not wait for what they still paint."""

    def __init__(self, dataset: Any, index: int) -> None:
        super().__init__(name="inpaint-sample", daemon=True)
        self._dataset = dataset
        self._index = index
        self._sample: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._sample = self._dataset[self._index]
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._sample


def _copy(value: Any, memo: dict[int, Any], copies: list[tuple[Any, Any]]) -> Any:
    """A copy with transforms of its own and everything else shared; the very value where there is no transform in it.

    Args:
        value: What to copy.
        memo: Copies by the id of the original, as ``copy.deepcopy`` keeps them: what is shared stays shared.
        copies: Receives each transform found and its copy; a transform of torchvision, which needs none, twice.
    """
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, TRANSFORMS):
        for inpaint in _inpaints(value):
            memo[id(inpaint.editor.tally)] = inpaint.editor.tally
        copied: Any = copy.deepcopy(value, memo)
        copies.append((value, copied))
        return copied
    if isinstance(value, torch.nn.Module):
        if next(_inpaints(value), None) is not None:
            copies.append((value, value))
        return value
    if isinstance(value, list | tuple | dict):
        return mapped(value, lambda held: _copy(held, memo, copies)) if len(value) <= MAX_ITEMS else value
    if isinstance(value, type | types.ModuleType | torch.Tensor | np.ndarray) or not isinstance(
        getattr(value, "__dict__", None), dict
    ):
        return value
    memo[id(value)] = value  # ends cycles
    changed = {}
    for name, held in vars(value).items():
        if (own := _copy(held, memo, copies)) is not held:
            changed[name] = own
    if changed:
        memo[id(value)] = copied = copy.copy(value)
        vars(copied).update(changed)
    return memo[id(value)]


def _inpaints(transform: Any) -> Iterator[Any]:
    """The ``BBoxInpaint`` of either face in a pipeline."""
    if isinstance(getattr(transform, "editor", None), Editor):
        yield transform
    for inner in getattr(transform, "transforms", ()):
        yield from _inpaints(inner)
