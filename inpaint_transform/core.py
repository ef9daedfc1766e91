"""The core: what all faces share, from the boxes of a sample to the painted image."""

from inpaint_transform.edits import Edit, Outcome
from inpaint_transform.painting import paint, paint_all
from inpaint_transform.planning import plan
from inpaint_transform.recipe import Recipe

__all__ = ["Edit", "Outcome", "Recipe", "paint", "paint_all", "plan"]
