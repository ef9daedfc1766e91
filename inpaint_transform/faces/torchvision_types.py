"""torchvision's types as arrays, and back: images, boxes, masks and keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch

from inpaint_transform.core.boxes import Outline
from inpaint_transform.faces.nested import containers

try:
    from torchvision import tv_tensors
    from torchvision.transforms import v2
except ImportError as error:
    raise ImportError(
        "inpaint_transform.torchvision needs torchvision; install it with pip install 'inpaint-transform[torchvision]'"
    ) from error

__all__ = [
    "check_arrays",
    "check_wrapped",
    "find_images",
    "frames",
    "is_points",
    "like",
    "planes",
    "points_of",
    "read_boxes",
    "size_of",
    "tv_tensors",
    "v2",
]

ROTATED = ("XYWHR", "CXCYWHR", "XYXYXYXY")
DTYPES = (torch.uint8, torch.uint16, torch.float32)
# The modes whose arrays are grey or start with red, green, blue.
MODES = ("L", "I;16", "RGB", "RGBA")


def find_images(flat: Sequence[Any]) -> list[int]:
    """Where the images are, by torchvision's rule: explicit images, or else the first plain tensor that may be one."""
    explicit = (tv_tensors.Image, tv_tensors.Video, PIL.Image.Image)
    found = [index for index, item in enumerate(flat) if isinstance(item, explicit)]
    if found:
        return found
    for index, item in enumerate(flat):
        if (
            isinstance(item, torch.Tensor)
            and not isinstance(item, tv_tensors.TVTensor)
            and item.ndim >= 3
            and item.dtype != torch.bool  # stacked instance masks
        ):
            return [index]
    return []


def check_arrays(flat: Sequence[Any]) -> None:
    """Refuse an image that is an array, in a sample without others: transforms of torchvision pass arrays by.

    Raises:
        TypeError: An array has the shape of an image.
    """
    for item in flat:
        if isinstance(item, np.ndarray) and item.ndim == 3 and item.shape[2] in (1, 3, 4):
            raise TypeError(
                f"the sample's image is a numpy array {item.shape}, which transforms of torchvision pass by; place "
                f"v2.ToImage() before this transform"
            )


def check_wrapped(sample: Any) -> None:
    """Refuse boxes that nobody would find: the transform would never paint, and never say so.

    Raises:
        ValueError: A key that speaks of boxes, or an item of shape ``(N, 4)`` in a list or tuple, holds numbers.
    """
    for container in containers(sample):
        mapping = isinstance(container, Mapping)
        for name, value in container.items() if isinstance(container, Mapping) else enumerate(container):
            if ("box" in str(name).lower() and _is_listed(value)) if mapping else _is_rows(value):
                raise ValueError(
                    f"the sample's {name!r} is a {type(value).__name__}; wrap it: tv_tensors.BoundingBoxes(..., "
                    f"format=..., canvas_size=(height, width)), or the data set of torchvision: "
                    f"wrap_dataset_for_transforms_v2(...)"
                )


def _is_listed(value: Any) -> bool:
    """Whether it is a list, tuple, array or tensor that holds something."""
    return (isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0) and len(value) > 0


def _is_rows(value: Any) -> bool:
    plain = isinstance(value, torch.Tensor | np.ndarray) and not isinstance(value, tv_tensors.TVTensor)
    return plain and value.ndim == 2 and value.shape[1] == 4


def size_of(image: Any) -> tuple[int, int]:
    """Height and width."""
    if isinstance(image, PIL.Image.Image):
        return image.height, image.width
    return int(image.shape[-2]), int(image.shape[-1])


def read_boxes(boxes: tv_tensors.BoundingBoxes) -> tuple[np.ndarray, list[Outline] | None]:
    """The boxes as float64 ``(N, 4)`` pixel corners, and the outlines of rotated ones."""
    if boxes.numel() == 0:  # of any shape: BoundingBoxes([]) has (1, 0)
        return np.empty((0, 4)), None
    plain = boxes.detach().as_subclass(torch.Tensor).cpu().double().reshape(-1, boxes.shape[-1])
    name = boxes.format.name
    wanted = "XYXYXYXY" if name in ROTATED else "XYXY"
    if name != wanted:
        plain = v2.functional.convert_bounding_box_format(plain, old_format=boxes.format, new_format=wanted)
    if name not in ROTATED:
        return plain.numpy(), None
    corners = plain.numpy().reshape(-1, 4, 2)
    outlines = [tuple((float(x), float(y)) for x, y in outline) for outline in corners]
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1), outlines


def planes(mask: Any) -> list[np.ndarray]:
    """The ``(H, W)`` masks in a mask tensor."""
    plain = mask.detach().as_subclass(torch.Tensor).cpu()
    return [plane.numpy() for plane in plain.reshape(-1, *plain.shape[-2:])]


def is_points(item: Any) -> bool:
    """Whether an item is keypoints, which older versions of torchvision do not have."""
    return isinstance(item, getattr(tv_tensors, "KeyPoints", ()))


def points_of(points: Any) -> np.ndarray:
    """``(N, 2)`` float64."""
    return points.detach().as_subclass(torch.Tensor).cpu().double().reshape(-1, 2).numpy()


def frames(image: Any) -> list[np.ndarray]:
    """The image as ``(H, W)`` or ``(H, W, C)`` arrays, one for each frame of a video or batch.

    Raises:
        TypeError: A tensor's dtype cannot be painted.
        ValueError: A PIL image's mode cannot be painted.
    """
    if isinstance(image, PIL.Image.Image):
        if image.mode not in MODES:
            raise ValueError(f"image has mode {image.mode!r}; convert it, e.g. image.convert('RGB')")
        return [np.asarray(image)]
    if image.dtype not in DTYPES:
        raise TypeError(f"image has dtype {image.dtype}; convert it to uint8, uint16 or float32 in [0, 1]")
    plain = image.detach().as_subclass(torch.Tensor).cpu()
    return [frame.permute(1, 2, 0).numpy() for frame in plain.reshape(-1, *plain.shape[-3:])]


def like(image: Any, painted: list[np.ndarray]) -> Any:
    """The painted frames as an image of the same kind."""
    if isinstance(image, PIL.Image.Image):
        picture = PIL.Image.fromarray(painted[0])
        picture.info = dict(image.info)
        return picture
    plain = image.detach().as_subclass(torch.Tensor)
    stacked = torch.from_numpy(np.stack(painted)).permute(0, 3, 1, 2).reshape(plain.shape)
    result = torch.empty_like(plain).copy_(stacked)
    return tv_tensors.wrap(result, like=image) if isinstance(image, tv_tensors.TVTensor) else result
