"""The training loop: it goes on where it was broken off, stops when nothing improves, and never leaves half a file."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.fit import trainer
from inpaint_transform.fit.trainer import Training

STEPS = 20


def fresh(path: Path, rate: float = 0.05) -> tuple[torch.nn.Linear, Training]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    return model, Training(path, dict(model.named_parameters()), rate, decay=0.9)


def loss_of(model: torch.nn.Linear) -> Callable[[int], torch.Tensor]:
    def loss(step: int) -> torch.Tensor:
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return ((model(inputs) - inputs.sum(dim=1, keepdim=True)) ** 2).mean()

    return loss


def weights(model: torch.nn.Linear) -> torch.Tensor:
    return torch.cat([model.weight.detach().flatten(), model.bias.detach()])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(broken_after=st.lists(st.integers(1, STEPS), max_size=3), every=st.integers(1, 7))
def test_whenever_it_is_broken_off_the_end_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, broken_after: list[int], every: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    model, training = fresh(folder / "whole.pt")
    for _ in training.run(STEPS, loss_of(model), every=every):
        pass
    training.finish()
    for steps in broken_after:
        broken, other = fresh(folder / "broken.pt")
        for _ in itertools.islice(other.run(STEPS, loss_of(broken), every=every), steps):
            pass
    again, last = fresh(folder / "broken.pt")
    for _ in last.run(STEPS, loss_of(again), every=every):
        pass
    last.finish()
    assert last.step == STEPS
    assert torch.equal(weights(again), weights(model))
    assert last.average.keys() == training.average.keys()


def test_the_loss_falls(tmp_path: Path) -> None:
    model, training = fresh(tmp_path / "a.pt")
    losses = [step.loss for step in training.run(200, loss_of(model))]
    assert losses[-1] < losses[0] / 2


def test_training_ends_when_the_held_out_loss_does_not_improve_and_the_best_weights_stay(tmp_path: Path) -> None:
    model, training = fresh(tmp_path / "a.pt")
    measured = iter([3.0, 1.0, 2.0, 2.0, 2.0, 0.5])
    best = []

    def held_out() -> float:
        value = next(measured)
        if value == 1.0:
            best.append(weights(model))
        return value

    steps = list(training.run(100, loss_of(model), held_out, every=5, patience=3))
    assert steps[-1].step == 25
    assert [step.held_out for step in steps if step.checked] == [3.0, 1.0, 2.0, 2.0, 2.0]
    assert (training.best_step, training.best_loss) == (10, 1.0)
    training.finish()
    assert torch.allclose(weights(model), best[0])
    # Asked again it knows that it is done.
    resumed, other = fresh(tmp_path / "a.pt")
    assert list(other.run(100, loss_of(resumed), held_out, every=5, patience=3)) == []


def test_the_average_is_in_place_while_the_held_out_loss_is_measured_only(tmp_path: Path) -> None:
    model, training = fresh(tmp_path / "a.pt")
    for _ in training.run(5, loss_of(model)):
        pass
    before = weights(model)
    with training.averaged():
        assert not torch.equal(weights(model), before)
        assert torch.equal(model.weight, training.average["weight"])
    assert torch.equal(weights(model), before)


def test_more_steps_can_be_asked_for_later(tmp_path: Path) -> None:
    model, training = fresh(tmp_path / "a.pt")
    assert len(list(training.run(5, loss_of(model)))) == 5
    model, training = fresh(tmp_path / "a.pt")
    assert [step.step for step in training.run(8, loss_of(model))] == [6, 7, 8]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_breaks_down_is_said(tmp_path: Path, value: float) -> None:
    model, training = fresh(tmp_path / "a.pt")
    with pytest.raises(InpaintError, match=r"step 0.*lower rate, now 0\.05"):
        next(training.run(5, lambda step: model.weight.sum() * value))


@pytest.mark.parametrize("what", ["gradient", "held-out loss"])
def test_what_breaks_down_never_reaches_the_checkpoint(tmp_path: Path, what: str) -> None:
    """A loss may be finite where its gradient is not; weights of it would be saved and never be right again."""
    path = tmp_path / "a.pt"
    model, training = fresh(path)
    for _ in training.run(2, loss_of(model), every=1):
        pass
    kept = path.read_bytes()

    def loss(step: int) -> torch.Tensor:
        good = loss_of(model)(step)
        return good + (model.bias - model.bias.detach()).sqrt().sum() if what == "gradient" else good

    with pytest.raises(InpaintError, match=rf"the {what} is (nan|inf) at step"):
        list(training.run(5, loss, lambda: math.nan, every=1))
    assert path.read_bytes() == kept
    model, training = fresh(path)
    assert [step.step for step in training.run(4, loss_of(model))] == [3, 4]


@pytest.mark.parametrize("back", [False, True])
def test_another_optimiser_goes_on_without_the_state_that_it_cannot_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, back: bool
) -> None:
    """Such as Adam in 8 bits, once it is installed."""

    def other(parameters: list[torch.nn.Parameter], rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, rate, momentum=0.9)

    path, optimizers = tmp_path / "a.pt", [None, other]
    first, second = optimizers[::-1] if back else optimizers
    model, _ = fresh(path)
    training = Training(path, dict(model.named_parameters()), 0.01, optimizer=first)
    for _ in training.run(5, loss_of(model), every=5):
        pass
    assert not caplog.records
    training = Training(path, dict(model.named_parameters()), 0.01, optimizer=second)
    assert "whose state begins anew" in caplog.text
    assert [step.step for step in training.run(7, loss_of(model))] == [6, 7]


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from inpaint_transform.fit.trainer import alone\n"
        "with alone(Path(sys.argv[1])): pass"
    )
    with trainer.alone(tmp_path):
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "another process is training in this folder" in other.stderr
    with trainer.alone(tmp_path):
        pass


@pytest.mark.parametrize("what", ["garbage", "other", "cut"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.pt"
    if what == "garbage":
        torch.save({"weights": {}}, path)
    elif what == "cut":
        fresh(path)[1].save()
        path.write_bytes(path.read_bytes()[:100])
    else:
        wide = torch.nn.Linear(7, 2)
        other = Training(path, dict(wide.named_parameters()), 0.1)
        other.save()
    with pytest.raises(ValueError, match=r"a\.pt: not a checkpoint of this training"):
        fresh(path)


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    trainer.write_whole({"step": 1}, path)

    def fail(state: object, file: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        trainer.write_whole({"step": 2}, path)
    assert torch.load(path)["step"] == 1


def test_the_rate_rises_at_first_and_falls_in_the_end(tmp_path: Path) -> None:
    model, training = fresh(tmp_path / "a.pt")
    rates = [training.optimizer.param_groups[0]["lr"] for _ in training.run(40, loss_of(model))]
    assert rates[0] < rates[10] == 0.05
    assert rates[-1] < 0.05 / 5
