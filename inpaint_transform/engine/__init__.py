"""The engine: the one place that touches diffusers, transformers and peft."""

from inpaint_transform.engine.quiet import quiet

with quiet():
    from inpaint_transform.engine.engine import Engine

__all__ = ["Engine"]
