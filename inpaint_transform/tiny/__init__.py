"""The embedded models: a small Stable Diffusion inpainting pipeline and the CLIP that judges what it paints."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
CLIP = Path(__file__).parent / "clip"
