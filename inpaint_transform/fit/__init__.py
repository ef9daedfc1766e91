"""Fit: teach an inpainting model the objects of a labelled data set."""

from inpaint_transform.fit.fitting import fit
from inpaint_transform.fit.pictures import Sample

__all__ = ["Sample", "fit"]
