"""Which text fits a painted box: a CLIP model beside the pipeline answers the questions of a batch in one call."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import functional
from transformers.image_processing_base import ImageProcessingMixin

from inpaint_transform import tiny
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.protocol import Question
from inpaint_transform.engine.out_of_memory import explained
from inpaint_transform.engine.quiet import quiet
from inpaint_transform.engine.sources import hub_options, load_error, read_config

# Of the last used texts: a CLIP feature has at most 1280 numbers, so all of them take 20 MB at most.
TEXTS_KEPT = 4096
# What OpenAI's CLIP takes, for a model whose folder says nothing about its pictures.
DEFAULT_MEAN = (0.48145466, 0.4578275, 0.40821073)
DEFAULT_STD = (0.26862954, 0.26130258, 0.27577711)
# PIL's numbers for the resampling filters that torch has; the rest, Lanczos among them, comes closest to bicubic.
FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}


class Clip:
    """A CLIP model that stays loaded.

    A box is squeezed to the square that the model reads, not centre-cropped: the ends of a long object count too.

    Args:
        where: Folder or hub id of a transformers ``CLIPModel`` with its tokenizer, or ``"tiny"``.
        device: Where it runs.
        dtype: Its precision; similarities and probabilities are always float32.

    Raises:
        FileNotFoundError: There is no such folder, or it is not one that transformers wrote.
        ValueError: The folder holds another kind of model.
        InpaintError: The hub cannot be reached, or the weights do not load or do not fit into memory.
    """

    def __init__(self, where: str, device: torch.device, dtype: torch.dtype) -> None:
        self._where = where
        self._device = device
        folder = os.fspath(tiny.CLIP) if where == "tiny" else str(Path(where).expanduser())
        _check_is_clip(folder, where)
        try:
            with quiet():
                model, report = transformers.CLIPModel.from_pretrained(
                    folder, use_safetensors=True, dtype=dtype, output_loading_info=True, **hub_options(folder)
                )
                self._tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, **hub_options(folder))
            with explained(f"clip={where!r} does not fit into the memory of {device}: use a smaller one"):
                self._model: Any = model.to(device).eval()
        except InpaintError:
            raise
        except Exception as error:  # whatever the loaders of three libraries raise
            raise load_error("clip", where, error) from error
        if missing := sorted(report["missing_keys"]):
            # transformers would go on with random numbers there.
            raise ValueError(f"clip={where!r}: {len(missing)} weights are missing, among them {missing[0]}")
        self._size: int = model.config.vision_config.image_size
        self._most_tokens: int = model.config.text_config.max_position_embeddings
        pictures = _preprocessing(folder)
        # Levels 0 to 255 in; the processor's own rescaling to [0, 1] is folded in.
        self._mean = 255 * self._channels(pictures.get("image_mean") or DEFAULT_MEAN)
        self._std = 255 * self._channels(pictures.get("image_std") or DEFAULT_STD)
        self._filter = FILTERS.get(pictures.get("resample", 3), "bicubic")
        self._kept: OrderedDict[str, torch.Tensor] = OrderedDict()

    def _channels(self, values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._device)[:, None, None]

    def check(self, question: Question, size: int) -> None:
        """Raise where a question has no answer.

        Args:
            question: What will be asked.
            size: Side of the working crop in pixels.

        Raises:
            ValueError: The box is empty or leaves the crop, there is no text, or the model would cut one short.
        """
        x0, y0, x1, y1 = question.box
        if not (0 <= x0 < x1 <= size and 0 <= y0 < y1 <= size):
            raise ValueError(f"question: the box {question.box} is empty or not inside the crop of {size} pixels")
        if not question.texts:
            raise ValueError("question: there is no text to choose from; give at least one")
        for text in question.texts:
            length = 0 if text in self._kept else len(self._tokenizer(text).input_ids)
            if length > self._most_tokens:
                raise ValueError(
                    f"question: {text!r} has {length} tokens, but clip={self._where!r} reads {self._most_tokens}:"
                    " shorten it"
                )

    @torch.inference_mode()
    def answers(self, images: torch.Tensor, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        """One probability a text for every question.

        Args:
            images: ``(B, 3, S, S)`` uint8 on the model's device.
            questions: One an image, checked.

        Returns:
            The softmax of CLIP's similarities over the texts of each question.

        Raises:
            InpaintError: The model gave no finite numbers.
        """
        pictures = torch.stack([self._picture(image, q.box) for image, q in zip(images, questions, strict=True)])
        seen = self._model.vision_model(pixel_values=pictures.to(self._model.dtype)).pooler_output
        seen = functional.normalize(self._model.visual_projection(seen).float(), dim=-1)
        scale = self._model.logit_scale.float().exp()
        chances = [
            torch.softmax(scale * torch.stack([self._feature(text) for text in question.texts]) @ row, dim=0)
            for row, question in zip(seen, questions, strict=True)
        ]
        numbers = torch.cat(chances).cpu()
        if not torch.isfinite(numbers).all():
            raise InpaintError(
                f"clip={self._where!r} gave no finite numbers in {self._model.dtype}; use another one, or"
                " dtype='float32'"
            )
        return [tuple(part.tolist()) for part in numbers.split([len(question.texts) for question in questions])]

    def _picture(self, image: torch.Tensor, box: tuple[int, int, int, int]) -> torch.Tensor:
        """The pixels of a box as the model reads them."""
        x0, y0, x1, y1 = box
        part = image[None, :, y0:y1, x0:x1].float()
        smooth = {} if self._filter == "nearest" else {"antialias": True, "align_corners": False}
        scaled = functional.interpolate(part, (self._size, self._size), mode=self._filter, **smooth)
        return (scaled[0].clamp(0, 255) - self._mean) / self._std

    def _feature(self, text: str) -> torch.Tensor:
        """A text's feature of length 1. Each is computed by itself, so that it depends on no other."""
        feature = self._kept.get(text)
        if feature is None:
            tokens = self._tokenizer(text, return_tensors="pt").input_ids.to(self._device)
            pooled = self._model.text_model(input_ids=tokens).pooler_output
            feature = functional.normalize(self._model.text_projection(pooled)[0].float(), dim=0)
            self._kept[text] = feature
            if len(self._kept) > TEXTS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(text)
        return feature


def _check_is_clip(folder: str, where: str) -> None:
    """Raise where a folder or hub repository is no CLIP model."""
    config = read_config("clip", folder, "config.json")
    kind = config.get("model_type")
    if kind != "clip":
        raise ValueError(
            f"clip={where!r}: holds a model of type {kind!r}; give a CLIP model with both encoders, for instance"
            " openai/clip-vit-base-patch32"
        )


def _preprocessing(folder: str) -> dict[str, Any]:
    """How the model wants its pictures; read as a dict, because the processors themselves want torchvision."""
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(folder, **hub_options(folder))
    except OSError:
        return {}
    return dict(settings)
