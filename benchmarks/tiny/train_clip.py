"""Train the tiny CLIP from scratch: ``python -m benchmarks.tiny.train_clip --data DIR --work DIR``.

It judges what the tiny pipeline paints: which class a box shows, or none. It learns from real crops only, most of
them sent through the pipeline's autoencoder, so that the texture of painted pixels gives nothing away. Resumable and
seeded. Pictures and captions of one class all belong together, so the contrastive loss has many positives (Yang et
al., 2204.03610).
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from benchmarks.tiny import data
from inpaint_transform.core import boxes, crops
from inpaint_transform.core.boxes import Box
from inpaint_transform.fit.autoencoder import round_trip
from inpaint_transform.fit.denoise import to_pixels
from inpaint_transform.fit.trainer import Training
from inpaint_transform.tiny import CHECKPOINT, CLIP

logger = logging.getLogger("benchmarks.tiny.train_clip")

BATCH = 64
RATE = 1e-3
WIDTH = 96
# As in OpenAI's CLIP: the temperature may not fall below a hundredth.
MAX_LOGIT_SCALE = math.log(100)
ROUND_TRIPS = 0.75
# How many pictures of things with a shape of their own are bent out of it, and are none then.
BENT = 0.25
CONTEXT = (1.25, 3.0)
# How much of a background box may lie on objects.
MOST_COVERED = 0.15
BACKGROUND = "background"
BACKGROUND_CAPTIONS = ("background", "a photo of background", "a photo of the background", "empty background")
CLASSES = (*data.NAMES, BACKGROUND)
# Cells bend; what stands on a floor does not.
SHAPED = frozenset(data.NAMES) - data.TURNABLE


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A vision transformer on 8x8 patches of 64x64 pixels and a text transformer, both narrow."""
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": data.SIZE, "patch_size": 8, "num_hidden_layers": 4, "num_attention_heads": 4}
    text = {"vocab_size": len(tokenizer), "num_hidden_layers": 2, "num_attention_heads": 4, **ends}
    return CLIPModel(
        CLIPConfig(
            vision_config={"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, **vision},
            text_config={
                "hidden_size": 64,
                "intermediate_size": 128,
                "max_position_embeddings": tokenizer.model_max_length,
                **text,
            },
            projection_dim=64,
        )
    )


def caption(label: str, rng: np.random.Generator) -> str:
    """A caption for a class or for the background."""
    if label == BACKGROUND:
        return BACKGROUND_CAPTIONS[rng.integers(len(BACKGROUND_CAPTIONS))]
    return data.caption(label, rng)


def draw_background(
    photos: list[data.Photo], sizes: list[tuple[int, int]], rng: np.random.Generator
) -> tuple[int, Box]:
    """Draw a box with the sides of some object that shows none: the number of its picture, and the box."""
    while True:
        index = int(rng.integers(len(photos)))
        photo = photos[index]
        height, width = photo.image.shape[:2]
        side, other = sizes[rng.integers(len(sizes))]
        if side >= width or other >= height:
            continue
        x0, y0 = int(rng.integers(width - side)), int(rng.integers(height - other))
        box = (x0, y0, x0 + side, y0 + other)
        covered = np.zeros((other, side), bool)
        for x2, y2, x3, y3 in photo.boxes:
            covered[max(y2 - y0, 0) : max(y3 - y0, 0), max(x2 - x0, 0) : max(x3 - x0, 0)] = True
        if covered.mean() <= MOST_COVERED:
            return index, box


class Draws:
    """Draws working crops as the pipeline paints them, with the box in them; every class equally often."""

    def __init__(self, photos: list[data.Photo]) -> None:
        self._real = data.Crops(photos)
        # Cells on a smear and cones on a floor: their background boxes take the sizes of their own set's objects.
        self._sets: list[tuple[list[data.Photo], list[tuple[int, int]]]] = []
        for turnable in (True, False):
            members = [photo for photo in photos if (photo.labels[0] in data.TURNABLE) == turnable]
            if members:
                sizes = [boxes.sides(box) for photo in members for box in photo.boxes]
                self._sets.append((members, [pair for pair in sizes if min(pair) >= data.MIN_SIDE]))

    @property
    def labels(self) -> list[str]:
        """The classes that there are pictures of, and the background."""
        return [*self._real.labels, BACKGROUND]

    def draw(self, label: str, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
        """A working crop ``(64, 64, 3)`` uint8 and the box in it."""
        if label == BACKGROUND:
            photos, sizes = self._sets[rng.integers(len(self._sets))]
            index, box = draw_background(photos, sizes, rng)
            image = photos[index].image
        else:
            candidates = self._real.by_label[label]
            index, box = candidates[rng.integers(len(candidates))]
            image = self._real.photos[index].image
        height, width = image.shape[:2]
        window = crops.context_window(box, height, width, rng.uniform(*CONTEXT))
        scale = data.SIZE / max(boxes.sides(window))
        corners = (np.array(box) - (window[0], window[1]) * 2) * scale
        [inner] = boxes.from_pixels([corners], data.SIZE, data.SIZE)
        return crops.crop(image, window, data.SIZE), inner


def cache_crops(draws: Draws, vae: AutoencoderKL, path: Path, count: int, seed: int) -> dict[str, np.ndarray]:
    """Draw ``count`` working crops, send most of them through the autoencoder, and keep them on disk."""
    if path.exists():
        with np.load(path) as kept:
            return dict(kept)
    images, inner, labels = [], [], []
    for start in range(0, count, BATCH):
        rng = np.random.default_rng((seed, 1, start))
        names = [draws.labels[(start + i) % len(draws.labels)] for i in range(BATCH)]
        drawn = [draws.draw(name, rng) for name in names]
        batch = np.stack([image for image, _ in drawn])
        passing = rng.random(BATCH) < ROUND_TRIPS
        batch[passing] = round_trip(vae, batch[passing])
        images.append(batch)
        inner += [box for _, box in drawn]
        labels += [CLASSES.index(name) for name in names]
    cache = {"images": np.concatenate(images), "boxes": np.array(inner), "labels": np.array(labels)}
    part = path.with_suffix(".part.npz")
    np.savez(part, images=cache["images"], boxes=cache["boxes"], labels=cache["labels"])
    part.replace(path)
    return cache


def box_picture(image: np.ndarray, box: Box) -> np.ndarray:
    """The pixels of a box at the size that the model reads: ``(64, 64, 3)`` uint8."""
    x0, y0, x1, y1 = box
    return cv2.resize(image[y0:y1, x0:x1], (data.SIZE, data.SIZE), interpolation=cv2.INTER_CUBIC)


def augment(image: np.ndarray, box: np.ndarray, label: str, rng: np.random.Generator) -> np.ndarray:
    """The picture of a box, its corners moved a little; flipped, turned, and in another light and sharpness."""
    width, height = box[2] - box[0], box[3] - box[1]
    jitter = rng.uniform(-0.08, 0.08, 4) * (width, height, width, height)
    [moved] = boxes.from_pixels([box + jitter], data.SIZE, data.SIZE)
    picture = box_picture(image, moved)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if label in data.TURNABLE or label == BACKGROUND:
        picture = np.rot90(picture, int(rng.integers(4)))
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), rng.uniform(0.3, 2.0))
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    return np.clip(picture * gain + rng.uniform(-20, 20), 0, 255).astype(np.uint8)


def bend(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The colours of a picture in shapes that are none: moved by waves of about a third of its side."""
    side = data.SIZE
    moves = rng.normal(0, side / 7, (2, 4, 4)).astype(np.float32)
    across, down = (cv2.resize(move, (side, side), interpolation=cv2.INTER_CUBIC) for move in moves)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    return cv2.remap(picture, columns + across, rows + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def train(cache: dict[str, np.ndarray], tokenizer: CLIPTokenizer, work: Path, steps: int, seed: int) -> CLIPModel:
    """Train on cached crops; returns the moving average."""
    torch.manual_seed(seed)
    model = build_clip(tokenizer)
    training = Training(work / "clip.pt", dict(model.named_parameters()), RATE, decay=0.998)

    def loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng((seed, 2, step))
        model.logit_scale.data.clamp_(max=MAX_LOGIT_SCALE)
        rows = rng.integers(len(cache["labels"]), size=BATCH)
        labels = cache["labels"][rows]
        pictures = [
            augment(cache["images"][row], cache["boxes"][row], CLASSES[label], rng)
            for row, label in zip(rows, labels, strict=True)
        ]
        for number, label in enumerate(labels):
            if CLASSES[label] in SHAPED and rng.random() < BENT:
                pictures[number] = bend(pictures[number], rng)
                labels[number] = CLASSES.index(BACKGROUND)
        tokens = tokenizer([caption(CLASSES[label], rng) for label in labels], padding=True, return_tensors="pt")
        output = model(**tokens, pixel_values=to_pixels(np.stack(pictures)))
        same = torch.from_numpy(labels[:, None] == labels[None, :]).float()
        target = same / same.sum(dim=1, keepdim=True)
        logits = output.logits_per_image
        return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2

    for progress in training.run(steps, loss, every=250):
        if progress.step % 100 == 0:
            logger.info("clip %d/%d loss %.4f", progress.step, steps, progress.loss)
    training.finish()
    logger.info("trained for %.0f seconds", training.seconds)
    return model


@torch.no_grad()
def confusions(
    model: CLIPModel, tokenizer: CLIPTokenizer, draws: Draws, vae: AutoencoderKL, count: int, seed: int
) -> dict[str, Any]:
    """Read real crops that training never saw, half of them through the autoencoder, with one caption a class.

    Returns:
        ``{class: {read as: share}}``; every class of the pictures competes with all classes.
    """
    captions = ["background" if label == BACKGROUND else f"a photo of a {data.NAMES[label][0]}" for label in CLASSES]
    tokens = tokenizer(captions, padding=True, return_tensors="pt")
    rng = np.random.default_rng((seed, 3))
    shares: dict[str, Any] = {}
    for label in draws.labels:
        drawn = [draws.draw(label, rng) for _ in range(count)]
        images = np.stack([image for image, _ in drawn])
        images[::2] = round_trip(vae, images[::2])
        pictures = np.stack([box_picture(image, box) for image, (_, box) in zip(images, drawn, strict=True)])
        read = model(**tokens, pixel_values=to_pixels(pictures)).logits_per_image.argmax(dim=1).tolist()
        shares[label] = {
            other: round(read.count(index) / count, 4) for index, other in enumerate(CLASSES) if index in read
        }
    return shares


def save(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write an fp16 safetensors folder that ``CLIPModel`` and ``CLIPTokenizer`` load like any other."""
    copy.deepcopy(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # By hand: transformers' own image processor wants torchvision.
    side = {"height": data.SIZE, "width": data.SIZE}
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": side,
        "resample": 3,
        "do_center_crop": False,
        "crop_size": side,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Command line of the training script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data set folders with coco.json")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and cached crops")
    parser.add_argument("--out", type=Path, default=CLIP, help="where to write the folder")
    parser.add_argument("--crops", type=int, default=18_000)
    parser.add_argument("--steps", type=int, default=4400)
    parser.add_argument("--unseen", type=int, default=200, help="crops of every class to evaluate on")
    # Not the seed of the pipeline, nor that of the classifier which reads it back.
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="one thread a process is fastest per core")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    tokenizer = CLIPTokenizer.from_pretrained(CHECKPOINT / "tokenizer")
    vae = AutoencoderKL.from_pretrained(CHECKPOINT / "vae").float().eval()
    draws = Draws(data.load(arguments.data, ["train"]))
    cache = cache_crops(draws, vae, arguments.work / "crops.npz", arguments.crops, arguments.seed)
    logger.info("%d crops", len(cache["labels"]))
    model = train(cache, tokenizer, arguments.work, arguments.steps, arguments.seed).eval()
    save(model, tokenizer, arguments.out)
    unseen = Draws(data.load(arguments.data, ["val"]))
    found = confusions(model, tokenizer, unseen, vae, arguments.unseen, arguments.seed)
    logger.info("real unseen crops read as: %s", json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
