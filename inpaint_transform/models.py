"""Which model paints: ``from inpaint_transform.models import PRESETS, ModelSpec``."""

from inpaint_transform.core.models import PRESETS, ModelSpec

__all__ = ["PRESETS", "ModelSpec"]
