"""Count what a LoRA fit needs on a GPU: ``python -m benchmarks.fit_memory``.

No GPU and no weights are needed: the denoisers are built from the published configs, and one training step runs on
tensors that have a shape and no content, while every tensor that is alive is counted. What a GPU adds is not counted:
its own context, about half a gigabyte, the work space of its libraries, and what its allocator leaves unused.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from peft import LoraConfig
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from benchmarks import full_size, report
from inpaint_transform.fit import lora
from inpaint_transform.fit.trainer import adamw

RANK = 16
BATCHES = (1, 4, 8)


def peak(architecture: full_size.Architecture, batch: int, checkpointing: bool) -> dict[str, float]:
    """The most that is alive at once during two steps, in GB, and of what kind it is.

    Args:
        architecture: Whose denoiser.
        batch: Examples a step.
        checkpointing: Whether activations are computed again on the way back.
    """
    side = architecture.size // full_size.CELL
    with FakeTensorMode():
        unet = full_size.unet(architecture).bfloat16().requires_grad_(False)
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=lora.TARGETS))
        trained = [value for value in unet.parameters() if value.requires_grad]
        for value in trained:
            value.data = value.data.float()
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
        tracker = MemTracker()
        tracker.track_external(unet, optimizer, hidden, *average)
        with tracker:
            for _ in range(2):
                noisy, times = torch.zeros(batch, 9, side, side), torch.zeros(batch, dtype=torch.long)
                with torch.autocast("cpu", torch.bfloat16):
                    output = unet(noisy, times, hidden, **more).sample
                optimizer.zero_grad()
                (output.float() ** 2).mean().backward()
                optimizer.step()
        [found] = tracker.get_tracker_snapshot("peak").values()
    return {str(getattr(kind, "value", kind)).lower(): round(count / 1e9, 3) for kind, count in found.items() if count}


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
