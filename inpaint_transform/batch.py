"""Mini-batches painted at once: ``from inpaint_transform.batch import BatchInpaint, ConcurrentDataset``."""

from inpaint_transform.faces.collated_batch import BatchInpaint
from inpaint_transform.faces.worker_batch import ConcurrentDataset

__all__ = ["BatchInpaint", "ConcurrentDataset"]
