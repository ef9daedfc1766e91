"""Class swaps: ``from inpaint_transform.swaps import Swap, balance, class_counts, class_sizes``."""

from inpaint_transform.core.balancing import Balance, balance
from inpaint_transform.core.swaps import Swap, class_counts, class_sizes

__all__ = ["Balance", "Swap", "balance", "class_counts", "class_sizes"]
