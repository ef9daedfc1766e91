from __future__ import annotations

import hashlib
import pickle
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import albumentations as A
import numpy as np
import pytest
from engines import spec
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from inpaint_transform import BBoxInpaint, ModelSpec
from inpaint_transform.core.protocol import InpaintRequest
from inpaint_transform.faces.worker_batch import ConcurrentDataset
from inpaint_transform.reports import log as provenance
from inpaint_transform.serving.registry import connect

BOX = (8, 8, 56, 56)


def compose(inpaint, *others, **options):
    return A.Compose([inpaint, *others], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]), **options)


class Pictures(Dataset):
    """Pictures that all differ, or are all the same."""

    def __init__(self, transform, count=16, same=False, broken=None):
        self.transform = transform
        rng = np.random.default_rng(0)
        self.pixels = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(count)]
        if same:
            self.pixels = [self.pixels[0]] * count
        self.broken = broken

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        if index == self.broken:
            raise KeyError(f"picture {index}")
        return self.transform(image=self.pixels[index], bboxes=[BOX], labels=["cell"])["image"]


def digest(image):
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def digests(loader):
    return Counter(digest(image) for batch in loader for image in batch)


def keep(samples):
    return samples


def loader(dataset, workers=2, start="fork", **options):
    context = {"multiprocessing_context": start} if workers else {}
    return DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=keep, **context, **options)


def test_more_is_in_flight_than_there_are_workers(inverting):
    model = spec("flight", serving="shared", max_batch_size=16, max_wait_ms=100)
    transform = BBoxInpaint(model, prompts="sleep 0.01", p=1.0)
    data = ConcurrentDataset(Pictures(compose(transform), count=32))
    assert sum(len(batch) for batch in DataLoader(data, batch_size=8, num_workers=2, collate_fn=keep)) == 32
    stats = transform.stats()["inpainter"]
    assert stats["requests"] == 32
    assert stats["mean_batch"] > 2


def test_threads_of_one_process_share_the_engines_calls(inverting):
    transform = BBoxInpaint(spec("threads", serving="local", max_batch_size=16), prompts="sleep 0.1", p=1.0)
    data = ConcurrentDataset(Pictures(compose(transform), count=32))
    assert len(list(DataLoader(data, batch_size=16, collate_fn=keep))) == 2
    stats = transform.stats()["inpainter"]
    assert stats["requests"] == 32
    assert stats["batches"] < 24


def test_all_workers_write_one_log(inverting, tmp_path):
    log = tmp_path / "logs" / "edits.jsonl"
    model = spec("logged", serving="shared")
    data = Pictures(compose(BBoxInpaint(model, p=1.0, log=str(log), log_crops=True)), count=24)
    for wrapped in (data, ConcurrentDataset(data)):
        assert len(list(loader(wrapped, workers=3))) == 6
    lines = dict(provenance.read(log))
    assert len(lines) == 48
    assert {record.image for record in lines.values()} == {provenance.digest(pixels) for pixels in data.pixels}
    crops = {record.crop for record in lines.values()}
    assert crops == {path.name for path in provenance.crops_of(log).iterdir()}
    assert len(crops) == 48


def test_a_wrong_call_fails_alone(inverting):
    inpainter = connect(spec("alone", serving="local"))
    image, mask = np.zeros((16, 16, 3), np.uint8), np.ones((16, 16), bool)

    def ask(prompt):
        try:
            return len(inpainter.paint([InpaintRequest(image, mask, prompt)]))
        except (RuntimeError, ValueError) as error:
            return str(error)

    prompts = ["sleep 0.2", "fine", "value wrong", "fine", "raise broken", "fine"]
    with ThreadPoolExecutor(len(prompts)) as threads:
        first = threads.submit(ask, prompts[0])
        time.sleep(0.1)
        answers = list(threads.map(ask, prompts[1:]))
    assert first.result() == 1
    assert answers == [1, "wrong", 1, "the engine failed: RuntimeError: broken", 1]


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_with_a_seed_samples_equal_the_plain_path(inverting, start):
    transform = BBoxInpaint(spec("seeded", serving="shared"), p=0.5, seed=3)
    plain = Pictures(compose(transform), count=12)
    expected = digests(loader(plain, workers=0))
    assert expected != digests([plain.pixels])
    assert digests(loader(ConcurrentDataset(plain), start=start)) == expected


class Labelled(Dataset):
    """Flat pictures, each with a grey level, a box and a label of its own; whole samples come out."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 48

    def __getitem__(self, index):
        left, top = 8 + index % 5 * 8, 8 + index % 3 * 16
        image = np.full((96, 128, 3), 10 + index, np.uint8)
        return self.transform(image=image, bboxes=[(left, top, left + 40, top + 32)], labels=[f"no {index}"])


def test_what_waits_in_the_middle_of_a_compose_mixes_up_nothing(inverting):
    paint = BBoxInpaint(
        spec("mixed", serving="local", max_batch_size=8), prompts="sleep 0.01", feather=0, match_border=False, p=1.0
    )
    flips = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
    transform = A.Compose(
        [*flips, paint, *flips], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]), seed=0
    )
    samples = [sample for batch in loader(ConcurrentDataset(Labelled(transform)), workers=2) for sample in batch]
    for index, sample in enumerate(samples):
        assert sample["labels"] == [f"no {index}"]
        left, top, right, bottom = np.rint(sample["bboxes"][0]).astype(int)
        inside = np.zeros((96, 128), bool)
        inside[top:bottom, left:right] = True
        grey = sample["image"][..., 0]
        assert (grey[~inside] == 10 + index).all()
        # In the middle only: to the working size and back, the edge of the box is blurred.
        assert (grey[top + 13 : bottom - 13, left + 13 : right - 13] == 245 - index).all()
    assert len({tuple(map(round, sample["bboxes"][0])) for sample in samples}) > 15


def test_tiny_model_with_a_seed_equals_the_plain_path():
    model = ModelSpec("tiny", steps=1, serving="local", reproducible=True, max_batch_size=4)
    plain = Pictures(compose(BBoxInpaint(model, prompts="a red blood cell", p=0.7, seed=3)), count=6)
    assert digests(loader(ConcurrentDataset(plain), workers=0)) == digests(loader(plain, workers=0))


def test_tiny_model_without_a_seed_paints_each_sample_differently():
    model = ModelSpec("tiny", steps=1, serving="local", reproducible=True, max_batch_size=4)
    data = Pictures(compose(BBoxInpaint(model, prompts="a red blood cell", p=1.0)), count=6, same=True)
    assert sorted(digests(loader(ConcurrentDataset(data), workers=0)).values()) == [1] * 6


def test_epoch_reaches_the_slots(inverting):
    transform = BBoxInpaint(spec("epoch", serving="local"), p=0.5, seed=3)
    plain = Pictures(compose(transform), count=16)
    concurrent = ConcurrentDataset(plain)
    seen = []
    for epoch in range(2):
        transform.set_epoch(epoch)
        seen.append(digests(loader(concurrent, workers=0)))
        assert seen[-1] == digests(loader(plain, workers=0))
    assert seen[0] != seen[1]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_without_a_seed_all_differ(workers, persistent):
    noise = A.GaussNoise(std_range=(0.2, 0.4), p=1.0)
    data = ConcurrentDataset(Pictures(compose(BBoxInpaint(p=0), noise, seed=1), count=16, same=True))
    batches = loader(data, workers, persistent_workers=persistent and workers > 0)
    assert sorted((digests(batches) + digests(batches)).values()) == [1] * 32


def test_flips_are_drawn_for_each_sample():
    data = Pictures(compose(BBoxInpaint(p=0), A.HorizontalFlip(p=0.5), seed=1), count=24, same=True)
    places = [tuple(digest(image) for image in batch) for batch in loader(ConcurrentDataset(data), workers=2)]
    assert len({image for batch in places for image in batch}) == 2
    # One stream shared by the slots would flip all of a mini-batch or none.
    assert any(len(set(batch)) == 2 for batch in places)


def test_edits_differ_between_slots_workers_and_epochs(inverting):
    # Grain would differ with every seed.
    transform = BBoxInpaint(spec("draws", serving="shared"), match_border=False, p=0.5)
    data = ConcurrentDataset(Pictures(compose(transform), count=32, same=True))
    epochs = []
    for _ in range(2):
        batches = [[digest(image) for image in batch] for batch in loader(data)]
        epochs.append(batches)
        assert len({image for batch in batches for image in batch}) == 2
        assert any(len(set(batch)) == 2 for batch in batches)
    assert epochs[0] != epochs[1]


def failure(batches):
    """The message of a loader's failure; keeps no traceback, which would keep the loader's workers waiting."""
    try:
        list(batches)
    except KeyError as error:
        return str(error)
    return None


@pytest.mark.parametrize("workers", [0, 2])
def test_exception_of_a_sample_propagates(workers):
    plain = Pictures(compose(BBoxInpaint(p=0)), count=8, broken=6)
    for dataset in (plain, ConcurrentDataset(plain)):
        assert "picture 6" in failure(loader(dataset, workers))


def test_no_thread_remains():
    before = set(threading.enumerate())
    data = ConcurrentDataset(Pictures(compose(BBoxInpaint(p=0)), broken=6))
    data.__getitems__([0, 1, 2])
    with pytest.raises(KeyError, match="picture 6"):
        data.__getitems__([5, 6, 7])
    assert set(threading.enumerate()) <= before


def test_order_of_the_indices_is_kept():
    data = Pictures(compose(BBoxInpaint(p=0)))
    samples = ConcurrentDataset(data).__getitems__([9, 2, 5])
    assert [digest(sample) for sample in samples] == [digest(data.pixels[index]) for index in (9, 2, 5)]


@pytest.mark.parametrize("nest", [lambda d: Subset(d, range(16)), lambda d: ConcatDataset([d, d])])
def test_datasets_inside_datasets(inverting, nest):
    plain = nest(Pictures(compose(BBoxInpaint(spec("nested", serving="local"), p=0.5, seed=0))))
    assert digests(loader(ConcurrentDataset(plain), 0)) == digests(loader(plain, 0))


def test_wrapper_inside_a_subset():
    data = Pictures(compose(BBoxInpaint(p=0)))
    assert sum(digests(loader(Subset(ConcurrentDataset(data), [1, 2, 3]), 0)).values()) == 3


def test_slots_share_the_data_and_own_their_transform():
    class Witness(Pictures):
        def __getitem__(self, index):
            return id(self.pixels), id(self.transform)

    data = Witness(compose(BBoxInpaint(p=0)))
    pixels, transforms = zip(*ConcurrentDataset(data).__getitems__([0, 1, 2]), strict=True)
    assert set(pixels) == {id(data.pixels)}
    assert len({*transforms, id(data.transform)}) == 4


def test_counts_of_the_slots_show_in_the_transform(inverting):
    transform = BBoxInpaint(spec("counts", serving="local"), p=1.0)
    ConcurrentDataset(Pictures(compose(transform))).__getitems__(range(5))
    stats = transform.stats()
    assert stats["accepted"] == 5
    assert stats["inpainter"]["requests"] == 5


def test_asking_for_stats_starts_nothing(inverting):
    transform = BBoxInpaint(spec("asked", serving="shared"))
    assert transform.stats() == {"classes": {}, "inpainter": {}}


def test_attributes_and_pickle():
    data = ConcurrentDataset(Pictures(compose(BBoxInpaint(p=0))))
    data.__getitems__([0, 1])
    copy = pickle.loads(pickle.dumps(data))
    assert len(copy) == 16
    assert copy.broken is None
    assert digest(copy[3]) == digest(data.pixels[3])
    with pytest.raises(AttributeError, match="nothing"):
        _ = copy.nothing


def test_datasets_that_cannot_be_wrapped():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(TypeError, match="map-style"):
        ConcurrentDataset(Stream())
    with pytest.raises(ValueError, match="no Albumentations transform"):
        ConcurrentDataset(Pictures(None))
