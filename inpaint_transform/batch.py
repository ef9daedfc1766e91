"""Mini-batches painted at once: ``from inpaint_transform.batch import BatchInpaint, ConcurrentDataset``."""

from inpaint_transform.faces.batch import BatchInpaint, ConcurrentDataset

__all__ = ["BatchInpaint", "ConcurrentDataset"]
