"""Pictures and their boxes: ``from inpaint_transform.annotations import labelled_boxes, read, read_image``."""

from inpaint_transform.datasets.classes import labelled_boxes
from inpaint_transform.datasets.reading import Annotation, BoxFormat, Problem, read, read_image

__all__ = ["Annotation", "BoxFormat", "Problem", "labelled_boxes", "read", "read_image"]
