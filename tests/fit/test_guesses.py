"""Of several guesses the nearest is found, for each example by itself."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from inpaint_transform.fit.guesses import GUESSES, nearest_noise


@given(st.integers(1, 5), st.integers(0, 99))
def test_it_is_the_noise_whose_guess_is_nearest_in_the_hole(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randn((count, 2, 4, 4), generator=generator)
    hole = torch.zeros((count, 1, 4, 4))
    hole[:, :, :2] = 1
    drawn: list[torch.Tensor] = []

    def guess(noise: torch.Tensor) -> torch.Tensor:
        drawn.append(noise)
        # Far off outside of the hole, where it does not count.
        return noise + 100 * noise.abs() * (1 - hole.repeat(GUESSES, 1, 1, 1))

    found = nearest_noise(guess, clean, hole, torch.Generator().manual_seed(seed))
    [noise] = drawn
    assert noise.shape == (GUESSES * count, 2, 4, 4)
    for row in range(count):
        errors = [float(((one - clean[row]) ** 2 * hole[row]).mean()) for one in noise[row::count]]
        assert torch.equal(found[row], noise[row::count][errors.index(min(errors))])


def test_where_only_the_nearest_learns_each_noise_gets_a_way_of_its_own() -> None:
    """Two ways that an object may lie: a mean of both is what a plain loss ends in."""
    generator = torch.Generator().manual_seed(0)
    hole, ways = torch.ones((32, 1, 1, 1)), torch.tensor([-1.0, 1.0])

    def taught(nearest: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(300):
            clean = ways[torch.randint(2, (32,), generator=generator)].view(32, 1, 1, 1)
            noise = torch.randn(clean.shape, generator=generator)
            noise = nearest_noise(model, clean, hole, generator) if nearest else noise
            optimizer.zero_grad()
            ((model(noise) - clean) ** 2).mean().backward()
            optimizer.step()
        found: torch.Tensor = model(torch.randn((200, 1), generator=generator)).detach()
        return found

    assert taught(False).abs().median() < 0.3
    assert taught(True).abs().median() > 0.7
