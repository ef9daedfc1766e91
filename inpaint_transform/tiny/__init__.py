"""The embedded model: a small Stable Diffusion inpainting pipeline, its training and its evaluation."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
