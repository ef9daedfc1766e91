"""Count what a LoRA fit needs on a GPU: ``python -m benchmarks.fit_memory``.

No GPU and no weights are needed: the denoisers are built from the published configs, and one training step runs on
tensors that have a shape and no content, while every tensor that is alive is counted. What a GPU adds is not counted:
its own context, about half a gigabyte, the work space of its libraries, and what its allocator leaves unused.
"""

from __future__ import annotations

import argparse
import functools
import json
import weakref
from typing import Any

import torch
from peft import LoraConfig
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import full_size, report
from inpaint_transform.fit import lora
from inpaint_transform.fit.trainer import adamw

RANK = 16
BATCHES = (1, 4)


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, those that some operation made while it lasts and those told of."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def add(self, tensors: Any) -> int:
        """Count some tensors, each storage once, until nobody holds it; the bytes that are new."""
        before = self.now
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in self._known:
                    gone = functools.partial(self._gone, id(storage), storage.nbytes())
                    self._known[id(storage)] = weakref.ref(storage, gone)
                    self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        return self.now - before

    def _gone(self, number: int, size: int, _: object) -> None:
        del self._known[number]
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is to be done, and count what comes of it."""
        result = func(*args, **(kwargs or {}))
        self.add(result)
        return result


def denoiser(architecture: full_size.Architecture) -> Any:
    """A denoiser with an adapter, as ``fit.lora`` trains it, on the meta device."""
    with torch.device("meta"):
        unet = full_size.unet(architecture).bfloat16().requires_grad_(False)
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=lora.TARGETS))
    return unet


def imitate(unet: nn.Module) -> None:
    """Put fakes in place of the weights; to be called where tensors are fakes."""
    for module in unet.modules():
        norm = isinstance(module, nn.GroupNorm | nn.LayerNorm)
        for name, value in module._parameters.items():
            if value is not None:
                kind = torch.float32 if value.requires_grad or norm else value.dtype
                module._parameters[name] = nn.Parameter(torch.empty(value.shape, dtype=kind), value.requires_grad)
        if norm:
            # As autocast does it on a GPU.
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))


def peak(architecture: full_size.Architecture, batch: int, checkpointing: bool) -> dict[str, float]:
    """The most that is alive at once during two steps, in GB, and of what kind it is.

    Args:
        architecture: Whose denoiser.
        batch: Examples a step.
        checkpointing: Whether activations are computed again on the way back.
    """
    side = architecture.size // full_size.CELL
    unet = denoiser(architecture)
    with FakeTensorMode():
        imitate(unet)
        trained = [value for value in unet.parameters() if value.requires_grad]
        if checkpointing:
            unet.enable_gradient_checkpointing()
        unet.train()
        optimizer = adamw(trained, lora.RATE)
        average = [value.detach().clone() for value in trained]
        hidden = torch.zeros(batch, full_size.MAX_TOKENS, architecture.unet["cross_attention_dim"])
        more: dict[str, Any] = {}
        if architecture.xl:
            pooled = torch.zeros(batch, architecture.texts[1]["projection_dim"])
            more = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": torch.zeros(batch, 6)}}
        alive = Alive()
        found = {"weights": alive.add([*unet.parameters(), *unet.buffers()])}
        found["average"] = alive.add(average)
        with alive:
            for _ in range(2):
                noisy, times = torch.zeros(batch, 9, side, side), torch.zeros(batch, dtype=torch.long)
                with torch.autocast("cpu", torch.bfloat16):
                    output = unet(noisy, times, hidden, **more).sample
                optimizer.zero_grad()
                (output.float() ** 2).mean().backward()
                optimizer.step()
        states = [value for state in optimizer.state.values() for value in state.values()]
        found["gradients and Adam's state"] = sum(value.nbytes for value in [*states, *(one.grad for one in trained)])
    found["activations"] = alive.most - sum(found.values())
    return {name: round(count / 1e9, 4) for name, count in {**found, "total": alive.most}.items()}


def main() -> None:
    """Run and write ``results/fit_memory.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the small twins, to try it out")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"rank": RANK, "unit": "GB"}
    for name, architecture in (full_size.SMALL if arguments.quick else full_size.FULL).items():
        results[name] = {
            f"batch {batch}": {
                ("with" if checkpointing else "without") + " checkpointing": peak(architecture, batch, checkpointing)
                for checkpointing in (True, False)
            }
            for batch in BATCHES
        }
    path = report.write("fit_memory", results)
    print(json.dumps(results, indent=2))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
