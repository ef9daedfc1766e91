"""Class swaps: ``from inpaint_transform.swaps import Swap, class_counts, class_sizes``."""

from inpaint_transform.core.swaps import Swap, class_counts, class_sizes

__all__ = ["Swap", "class_counts", "class_sizes"]
