"""The critic of a denoiser: it learns to tell, by scale and class, and looks at the hole."""

from __future__ import annotations

import torch
from seeing import Seeing
from torch.nn import functional

from inpaint_transform.fit.critic import SEEN, Critic, hinges, look_at


def test_the_critic_learns_to_tell_at_every_scale() -> None:
    torch.manual_seed(0)
    critic = Critic(Seeing(), 2, torch.device("cpu"))
    pixels, codes = torch.rand((2, 3, 32, 32)), torch.tensor([0, 1])
    bright, dark = critic.see(pixels * 0.2 + 0.7), critic.see(pixels * 0.2 - 0.7)
    optimizer = torch.optim.Adam(critic.heads.parameters(), 1e-2)
    before = [value.clone() for value in (*critic.mixed.parameters(), *critic.handed_on.parameters())]
    for _ in range(60):
        optimizer.zero_grad()
        hinges(critic(bright, codes), critic(dark, codes)).backward()
        optimizer.step()
    real, unreal = critic(bright, codes), critic(dark, codes)
    assert [answer.shape for answer in real] == [(2, 4, 4)] * 3
    for one, other in zip(real, unreal, strict=True):
        assert one.mean() > 0 > other.mean()
    after = (*critic.mixed.parameters(), *critic.handed_on.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_the_same_picture_may_be_real_for_one_class_alone() -> None:
    torch.manual_seed(0)
    critic = Critic(Seeing(), 2, torch.device("cpu"))
    seen = critic.see(torch.rand((1, 3, 32, 32)))
    right, wrong = torch.tensor([0]), torch.tensor([1])
    optimizer = torch.optim.Adam(critic.heads.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        hinges(critic(seen, right), critic(seen, wrong)).backward()
        optimizer.step()
    for one, other in zip(critic(seen, right), critic(seen, wrong), strict=True):
        assert one.mean() > other.mean() + 0.1


def test_the_critic_looks_at_the_hole() -> None:
    hole = torch.zeros((8, 1, 16, 16))
    hole[:, :, 9:13, 2:5] = 1
    picture = functional.interpolate(hole, size=(64, 64)).expand(-1, 3, -1, -1)
    look = look_at(hole, torch.Generator().manual_seed(3))
    seen = look(picture)
    assert seen.shape == (8, 3, SEEN, SEEN)
    # Light moves all of it: what is bright against the rest of the row's picture is the hole.
    lit = seen.mean(dim=1) > seen.mean(dim=(1, 2, 3))[:, None, None]
    share = lit.float().mean(dim=(1, 2))
    assert (share > 0.25).all()
    assert (share < 0.75).all()
    assert torch.equal(seen, look(picture))
    assert not torch.equal(seen[0], seen[1])
