"""The torchvision face: ``from inpaint_transform.torchvision import BBoxInpaint``."""

from inpaint_transform.faces.torchvision import BBoxInpaint

__all__ = ["BBoxInpaint"]
