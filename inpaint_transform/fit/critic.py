"""A critic that sees with a network that is not trained, and says whether an object is a real one.

Projected GANs (Sauer et al., 2111.01007): a critic that is trained from nothing on a small set learns the set by heart,
and not what objects look like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

# A frozen network: ``(B, 3, H, W)`` float in [-1, 1] to feature maps ``(B, C, h, w)``, fine to coarse.
Features = Callable[[torch.Tensor], Sequence[torch.Tensor]]

# Channels that features are mixed into, coarse to fine, and those of the critic's own layers.
MIXED = (256, 128, 64)
WIDTH = 128
# What the critic sees: how many pixels wide; how large and where that is, over the hole's longer side; in which light.
SEEN = 96
REACH, MOVED = (1.1, 1.5), (-0.1, 0.1)
LIGHT, SATURATION, CONTRAST = (-0.4, 0.4), (0.6, 1.4), (0.75, 1.25)


class Critic(nn.Module):
    """Says at four scales whether an object of its class is real.

    Features are mixed by layers that stay as they are drawn, so that no part of them can be overlooked, and each scale
    gets what the coarser ones show.

    Args:
        features: A frozen network.
        classes: How many classes there are.
        device: Of the network.
    """

    def __init__(self, features: Features, classes: int, device: torch.device) -> None:
        super().__init__()
        with torch.no_grad():
            shapes = [found.shape for found in features(torch.zeros((1, 3, SEEN, SEEN), device=device))]
        # Not a part of it: frozen, and no matter of its checkpoints.
        self._features = (features,)
        widths = [MIXED[min(at, len(MIXED) - 1)] for at in range(len(shapes))][::-1]
        self.mixed = nn.ModuleList(
            nn.Conv2d(shape[1], width, 1, bias=False) for shape, width in zip(shapes, widths, strict=True)
        )
        self.handed_on = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, 1, 1, bias=False) for fine, coarse in pairwise(widths)
        )
        for layer in (*self.mixed, *self.handed_on):
            nn.init.kaiming_normal_(layer.weight, a=1.0)
        self.mixed.requires_grad_(False)
        self.handed_on.requires_grad_(False)
        coarsest = shapes[-1][-1]
        self.heads = nn.ModuleList(
            _Head(width, (shape[-1] // coarsest).bit_length() - 1, classes)
            for shape, width in zip(shapes, widths, strict=True)
        )

    def see(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """``(B, 3, SEEN, SEEN)`` float in [-1, 1] to mixed features ``(B, C, h, w)``, fine to coarse."""
        levels = [mix(found) for mix, found in zip(self.mixed, self._features[0](pixels), strict=True)]
        for at in reversed(range(len(self.handed_on))):
            coarser = self.handed_on[at](levels[at + 1])
            levels[at] = levels[at] + functional.interpolate(coarser, size=levels[at].shape[-2:])
        return levels

    def forward(self, levels: Sequence[torch.Tensor], classes: torch.Tensor) -> list[torch.Tensor]:
        """What ``see`` gave, and ``(B,)`` int, to answers ``(B, h, w)``, one a scale; high for real."""
        return [head(level, classes).float() for head, level in zip(self.heads, levels, strict=True)]


class _Head(nn.Module):
    """Answers at one scale, with a word of its own for each class (projection: Miyato and Koyama, 1802.05637)."""

    def __init__(self, channels: int, halvings: int, classes: int) -> None:
        super().__init__()
        layers = [
            nn.Conv2d(channels, WIDTH, 3, padding=1),
            *(nn.Conv2d(WIDTH, WIDTH, 4, 2, 1) for _ in range(halvings)),
        ]
        self.layers = nn.Sequential()
        for layer in layers:
            self.layers.extend([nn.utils.parametrizations.spectral_norm(layer), nn.LeakyReLU(0.2)])
        self.answer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(WIDTH, 1, 3, padding=1))
        self.classes = nn.Embedding(classes, WIDTH)
        nn.init.zeros_(self.classes.weight)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Features and classes to answers ``(B, h, w)``."""
        found = self.layers(features)
        answer: torch.Tensor = self.answer(found)[:, 0] + (found * self.classes(classes)[:, :, None, None]).mean(dim=1)
        return answer


def hinges(real: Sequence[torch.Tensor], unreal: Sequence[torch.Tensor]) -> torch.Tensor:
    """The loss of a critic by its answers at each scale; high ones mean real."""
    parts = zip(real, unreal, strict=True)
    return mean_of([functional.relu(1 - one).mean() + functional.relu(1 + other).mean() for one, other in parts])


def mean_of(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean of scalars."""
    return torch.stack(list(parts)).mean()


def look_at(hole: torch.Tensor, generator: torch.Generator) -> Callable[[torch.Tensor], torch.Tensor]:
    """How the critic looks at a batch: at the hole and a bit around it, each time a little differently.

    It is the same for the real picture and the painted one of a row. Without changes a critic soon knows all real
    pictures of a small set by heart (Zhao et al., 2006.10738).

    Args:
        hole: ``(B, 1, h, w)`` float, where it is 1.
        generator: Source of the changes.
    """
    count, _, height, width = hole.shape

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand((count, 1, 1, 1), generator=generator)

    light, saturation, contrast = (between(*ends).to(hole) for ends in (LIGHT, SATURATION, CONTRAST))
    mirrored = torch.where(between(0, 1) < 0.5, -1.0, 1.0).flatten()
    reach, right, down = (between(*ends).flatten() for ends in (REACH, MOVED, MOVED))
    places = torch.zeros((count, 2, 3))
    for row, cells in enumerate(hole[:, 0].cpu() > 0):
        rows, columns = torch.nonzero(cells, as_tuple=True)
        top, bottom = float(rows.min()) / height, float(rows.max() + 1) / height
        left, end = float(columns.min()) / width, float(columns.max() + 1) / width
        side = max(bottom - top, end - left) * float(reach[row])
        x, y = left + end - 1 + float(right[row]) * side, top + bottom - 1 + float(down[row]) * side
        places[row] = torch.tensor([[float(mirrored[row]) * side, 0, x], [0, side, y]])
    grid = functional.affine_grid(places, [count, 3, SEEN, SEEN], align_corners=False).to(hole)

    def look(pictures: torch.Tensor) -> torch.Tensor:
        found = functional.grid_sample(pictures.float(), grid, padding_mode="reflection", align_corners=False)
        grey = found.mean(dim=1, keepdim=True)
        found = grey + (found - grey) * saturation
        mean = found.mean(dim=(1, 2, 3), keepdim=True)
        return mean + (found - mean) * contrast + light

    return look
