"""The optimizer whose steps are orthogonal: what it computes, whom it leaves to AdamW, and that it can be resumed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmarks import muon
from benchmarks.muon import Muon, orthogonal
from inpaint_transform.fit.trainer import adamw


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.SiLU(), nn.Flatten(), nn.Linear(32, 4))


def loss(model: nn.Module, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    pictures = torch.randn(16, 3, 6, 6, generator=generator)
    wanted = torch.stack([pictures.mean((1, 2, 3)), *pictures.std((2, 3)).unbind(1)], dim=1)
    return ((model(pictures) - wanted) ** 2).mean()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> float:
    losses = []
    for step in steps:
        optimizer.zero_grad()
        found = loss(model, step)
        found.backward()
        optimizer.step()
        losses.append(found.item())
    return sum(losses[-20:]) / 20


@pytest.mark.parametrize("shape", [(3, 8, 20), (3, 20, 8), (1, 5, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_become_alike_and_vectors_stay(
    shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon, "fast_dtype", lambda device: dtype)
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrices)
    assert found.dtype == torch.float32
    for before, after in zip(matrices, found, strict=True):
        assert ((torch.linalg.svdvals(after) > 0.6) & (torch.linalg.svdvals(after) < 1.3)).all()
        u, _, v = torch.linalg.svd(before, full_matrices=False)
        across = u.T @ after @ v.T
        assert (across - torch.diag(across.diag())).abs().max() < 0.1


def test_it_learns() -> None:
    model = network()
    before = loss(model, 0).item()
    assert train(model, Muon(model.parameters(), 1e-2), range(150)) < before / 20


def test_vectors_and_what_is_no_map_have_adamw() -> None:
    mine, theirs = network(), network()
    loss(mine, 0).backward()
    loss(theirs, 0).backward()
    Muon(mine.parameters(), 1e-2, apart=[mine[0].weight]).step()
    adamw(list(theirs.parameters()), 1e-2).step()
    same = [torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True)]
    assert same == [True, True, False, True, False, True]


def test_a_step_is_about_as_large_as_the_rate_says_whatever_the_gradient() -> None:
    for size in (1e-6, 1e3):
        weight = nn.Parameter(torch.zeros(12, 30))
        weight.grad = size * torch.randn(12, 30, generator=torch.Generator().manual_seed(0))
        Muon([weight], 1e-3).step()
        assert weight.square().mean().sqrt().item() == pytest.approx(1e-3 * muon.SIZE, rel=0.2)


def test_a_parameter_without_a_gradient_is_not_moved() -> None:
    used, unused = nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.zeros(4, 6))
    used.grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    Muon([used, unused], 1e-2).step()
    assert not torch.equal(used, torch.ones(4, 6))
    assert torch.equal(unused, torch.zeros(4, 6))


def test_a_resumed_one_goes_on_as_if_nothing_had_been() -> None:
    whole = network()
    optimizer = Muon(whole.parameters(), 1e-2)
    train(whole, optimizer, range(20))
    model, state = copy.deepcopy(whole), copy.deepcopy(optimizer.state_dict())
    train(whole, optimizer, range(20, 40))
    resumed = Muon(model.parameters(), 1e-2)
    resumed.load_state_dict(state)
    train(model, resumed, range(20, 40))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True))


def test_the_state_of_another_is_refused() -> None:
    model = network()
    with pytest.raises((KeyError, ValueError)):
        Muon(model.parameters(), 1e-2).load_state_dict(adamw(list(model.parameters()), 1e-2).state_dict())
