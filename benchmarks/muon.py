"""Muon: an optimizer that fit could have; ``optimizers`` compares it with the one that it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch

from inpaint_transform.fit.precision import fast_dtype
from inpaint_transform.fit.trainer import adamw

MOMENTUM = 0.95
DECAY = 0.01
# Root mean square of a step's changes over the rate: about AdamW's, so that one rate does for both (Liu et al.,
# 2502.16982).
SIZE = 0.2
# Of the Newton-Schulz iteration, which brings all singular values of a matrix near to one.
_ITERATIONS, _COEFFICIENTS = 5, (3.4445, -4.775, 2.0315)


class Muon(torch.optim.Optimizer):
    """Makes steps whose singular values are alike (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon).

    That is for weights of two dimensions or more; a convolution's are a matrix with a row an output channel. Others,
    and those that are named, have AdamW. PyTorch's own Muon takes one matrix at a time and always computes in bfloat16,
    which not every CPU can.

    Args:
        parameters: What is trained.
        rate: The learning rate.
        apart: Those of the parameters that are no maps from one layer to the next: tables of embeddings, and the
            weights of the first and last layer.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], rate: float, apart: Collection[torch.Tensor] = ()
    ) -> None:
        parameters = list(parameters)
        super().__init__(parameters, {"lr": rate})
        excepted = {id(parameter) for parameter in apart}
        others: list[torch.nn.Parameter] = []
        alike: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
        for value in parameters:
            if value.ndim < 2 or id(value) in excepted:
                others.append(value)
            else:
                alike.setdefault((value.shape[0], value[0].numel()), []).append(value)
        self._adamw = adamw([{"params": others}], rate)
        # Matrices of one shape are computed together: small ones take longer to come to than to compute.
        self._alike = list(alike.values())
        self._momenta = [value[0].new_zeros(len(value), *shape) for shape, value in alike.items()]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # noqa: ARG002 - as torch has it
        """Change the parameters by their gradients."""
        rate = self.param_groups[0]["lr"]
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        for values, momentum in zip(self._alike, self._momenta, strict=True):
            gradients = torch.stack([(torch.zeros_like(v) if v.grad is None else v.grad).flatten(1) for v in values])
            momentum.lerp_(gradients, 1 - MOMENTUM)
            steps = orthogonal(gradients.lerp(momentum, MOMENTUM))
            for value, step in zip(values, steps, strict=True):
                value.mul_(1 - rate * DECAY)
                value.sub_(step.reshape(value.shape), alpha=rate * SIZE * max(step.shape) ** 0.5)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"momenta": self._momenta, "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state back.

        Raises:
            KeyError, RuntimeError, ValueError: It is of something else.
        """
        for mine, kept in zip(self._momenta, state["momenta"], strict=True):
            mine.copy_(kept)
        self._adamw.load_state_dict(state["adamw"])


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices with the singular vectors of others, and singular values of about one.

    Args:
        matrices: ``(N, rows, columns)``.

    Returns:
        The same shape and dtype; singular values of 0.7 to 1.2, but for those near zero, as Jordan et al. say.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    found = (wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(fast_dtype(matrices.device))
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = found @ found.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        found = torch.baddbmm(found, gram, found, beta=a)
    return (found if wide is matrices else found.mT).to(matrices.dtype)
