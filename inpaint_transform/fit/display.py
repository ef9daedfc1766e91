"""What is shown of a training: a progress bar a stage, and sample sheets."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from inpaint_transform.core.recipe import Recipe
from inpaint_transform.fit import autoencoder, lora, sheets
from inpaint_transform.fit.bases import Base, quiet
from inpaint_transform.fit.pictures import Sample
from inpaint_transform.fit.pipeline_inpainter import PipelineInpainter
from inpaint_transform.fit.trainer import Progress

logger = logging.getLogger(__name__)

# In seconds: the first sample sheet comes early, the others now and then.
FIRST_SHEET, OTHER_SHEETS = 240, 900


@dataclass(eq=False)
class Display:
    """The bars and sheets of one run.

    Args:
        pipeline: What is trained.
        base: What it was made of.
        painter: The same as an inpainter.
        recipe: How the sheets are painted.
        labels: All classes.
        out: The run's folder, which gets ``sheets``.
        progress: Whether to show bars on a terminal.
        sheet_due: When the next sheet is to be painted, by ``time.monotonic``.
        stage: What is trained now.
        bar: Its bar.
        held_out: Its last loss on what is held out.
    """

    pipeline: Any
    base: Base
    painter: PipelineInpainter
    recipe: Recipe
    labels: list[str]
    out: Path
    progress: bool
    sheet_due: float = field(default_factory=lambda: time.monotonic() + FIRST_SHEET)
    stage: str = ""
    bar: Any = None
    held_out: float | None = None

    def follow(self, stage: str, total: int, step: Progress, samples: Sequence[Sample]) -> None:
        """Show a step."""
        if stage != self.stage:
            self.end()
            self.stage, self.held_out = stage, None
            # None: on a terminal, and nothing in a log file, which has its lines.
            hidden = None if self.progress else True
            self.bar = tqdm(None, stage, total, initial=step.step - 1, unit="step", disable=hidden)
        self.held_out = step.held_out if step.held_out is not None else self.held_out
        shown = f"loss {step.loss:.4f}" + (f", held out {self.held_out:.4f}" if self.held_out is not None else "")
        self.bar.set_postfix_str(shown, refresh=False)
        self.bar.update()
        if step.checked:
            logger.info("%s %d/%d: %s", stage, step.step, total, shown)
        if step.step == total:
            self.bar.close()
        if step.checked and (time.monotonic() > self.sheet_due or step.step == total):
            self.sheet_due = time.monotonic() + OTHER_SHEETS
            self._sheet(step.step, samples)

    def end(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()

    def _sheet(self, step: int, samples: Sequence[Sample]) -> None:
        folder = self.out / "sheets"
        folder.mkdir(exist_ok=True)
        try:
            sheet = self._painted(samples)
        except torch.cuda.OutOfMemoryError as error:
            # Training fits, and is worth more than a look at it.
            logger.warning("no sheet at step %d: too little memory to paint beside the training (%s)", step, error)
            return
        finally:
            if not self.base.whole:
                lora.rest(self.pipeline)
        path = folder / f"{self.stage}-{step:06d}.png"
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        logger.info("wrote %s", path)

    def _painted(self, samples: Sequence[Sample]) -> np.ndarray:
        if self.stage == "autoencoder":
            pixels = autoencoder.Pixels.kept(self.out / "training" / "unseen.npy")
            return sheets.round_trip_sheet(self.pipeline.vae, pixels)
        if not self.base.whole:
            lora.awake(self.pipeline)
        with quiet():
            return sheets.edit_sheet(self.painter, samples, self.recipe, self.labels)
