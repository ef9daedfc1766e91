"""Where the time of one ``Engine.paint`` goes: ``python -m benchmarks.engine_profile [--before CHECKOUT]``.

The parts of the pipeline are timed where they are called, each without the parts that it calls itself. What remains of
diffusers' call is all that a denoise loop of our own could save; what remains of ``paint`` is our own handling. With
``--before``, another checkout of the package is measured in turn with this one, each turn in a fresh process.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

STAGES = ("text", "vae_encode", "unet", "scheduler", "vae_decode", "rest_of_diffusers_call", "own_handling")
# About ten times as large as the embedded UNet.
WIDE = {"block_out_channels": [192, 384, 512]}
BATCHES = (1, 8)
# An own loop must be faster by more than this.
WORTH = 0.10

# Seconds of each stage in one call of paint.
Round = dict[str, float]


class Clock:
    """Adds up the time of nested stages, to each only what it does not spend in stages within."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    def _book(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Books the block's time."""
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def wrap(self, owner: Any, method: str, stage: str) -> None:
        """Book the calls of a method from now on."""
        plain = getattr(owner, method)

        @functools.wraps(plain)  # the signature too: the engine asks for it
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return plain(*args, **kwargs)

        setattr(owner, method, timed)


class Profiled:
    """An engine whose parts are timed.

    Args:
        folder: The checkpoint.
        steps: Denoising steps.
    """

    def __init__(self, folder: str, steps: int) -> None:
        from inpaint_transform.core.models import ModelSpec
        from inpaint_transform.core.presets import PRESET_FIELDS
        from inpaint_transform.engine import Engine

        self.clock = Clock()
        self._engine = Engine(
            ModelSpec(folder, device="cpu", size=PRESET_FIELDS["tiny"]["size"], steps=steps, guidance_scale=2.0)
        )
        pipeline = self._engine._pipeline  # the parts must be timed where they are
        pipeline.__class__ = type(type(pipeline).__name__, (type(pipeline),), {})  # of this engine alone
        self.clock.wrap(type(pipeline), "__call__", "rest_of_diffusers_call")
        self.clock.wrap(pipeline, "encode_prompt", "text")
        self.clock.wrap(pipeline.vae, "encode", "vae_encode")
        self.clock.wrap(pipeline.unet, "forward", "unet")
        for method in ("set_timesteps", "scale_model_input", "step"):
            self.clock.wrap(pipeline.scheduler, method, "scheduler")
        self.clock.wrap(pipeline.vae, "decode", "vae_decode")

    def round(self, batch: int, word: str) -> Round:
        """Paint one batch of noise with a box in the middle."""
        from inpaint_transform.core.protocol import InpaintRequest

        size = self._engine.size
        pixels = np.random.default_rng(0).integers(0, 255, (batch, size, size, 3), np.uint8)
        mask = np.zeros((size, size), bool)
        mask[size // 4 : -size // 4, size // 4 : -size // 4] = True
        requests = [
            InpaintRequest(image, mask, f"a photo of a {word} {number}", seed=number)
            for number, image in enumerate(pixels)
        ]
        self.clock.seconds.clear()
        with self.clock.stage("own_handling"):
            self._engine.paint(requests)
        return {stage: self.clock.seconds[stage] for stage in STAGES}


def measure_here(checkpoints: dict[str, str], batches: list[int], steps: int, rounds: int) -> dict[str, list[Round]]:
    """The rounds of every case, with whatever package this process imports; the cases take turns."""
    engines = {name: Profiled(folder, steps) for name, folder in checkpoints.items()}
    cases: dict[str, Callable[[str], Round]] = {
        f"{name}, batch {batch}": functools.partial(engine.round, batch)
        for name, engine in engines.items()
        for batch in batches
    }
    found: dict[str, list[Round]] = {}
    for number in range(rounds + 1):  # the first warms up
        for name, case in cases.items():
            found.setdefault(name, []).append(case("cell"))
        # Words that the engine has not seen.
        found.setdefault(f"tiny, batch {batches[-1]}, new prompts", []).append(
            engines["tiny"].round(batches[-1], f"cell {number}")
        )
    return {name: of_case[1:] for name, of_case in found.items()}


def measure_in_fresh_process(package: Path, settings: dict[str, Any]) -> dict[str, list[Round]]:
    """The same in a process that imports the package from a checkout.

    Raises:
        RuntimeError: The process imported another one.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rounds.json"
        subprocess.run(
            [sys.executable, __file__, "--child", json.dumps(settings), "--out", str(file)],
            env={**os.environ, "PYTHONPATH": str(package)},
            check=True,
        )
        answer = json.loads(file.read_text("utf-8"))
    if not Path(answer["package"]).is_relative_to(package):
        raise RuntimeError(f"asked for the package in {package}, measured {answer['package']}")
    return answer["rounds"]


def child(settings: dict[str, Any], out: Path) -> None:
    """What the fresh process does."""
    import inpaint_transform

    answer = {"rounds": measure_here(**settings), "package": inpaint_transform.__file__}
    out.write_text(json.dumps(answer), encoding="utf-8")


def milliseconds(rounds: list[Round]) -> dict[str, float]:
    """Mean of each stage over the faster half of the rounds: so they add up, and other work does not count."""
    by_total = sorted(rounds, key=lambda found: sum(found.values()))
    faster = by_total[: (len(rounds) + 1) // 2]
    means = {stage: statistics.fmean(found[stage] for found in faster) * 1e3 for stage in STAGES}
    return {"total": round(sum(means.values()), 3), **{stage: round(ms, 3) for stage, ms in means.items()}}


def random_unet(folder: Path, **changes: Any) -> str:
    """Save the tiny checkpoint with another UNet, of random weights: honest for speed only."""
    from inpaint_transform.engine.quiet import quiet
    from inpaint_transform.tiny import CHECKPOINT

    with quiet(), torch.random.fork_rng(devices=[]):
        tiny = diffusers.StableDiffusionInpaintPipeline.from_pretrained(CHECKPOINT, local_files_only=True)
        torch.manual_seed(0)
        tiny.register_modules(unet=diffusers.UNet2DConditionModel.from_config({**tiny.unet.config, **changes}))
        tiny.save_pretrained(folder)
    return str(folder)


def own_loop(cases: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What a denoise loop of our own could buy at the very most: the time outside the models, all of it."""
    gains = {}
    for name, ms in cases.items():
        avoidable = ms["rest_of_diffusers_call"] + ms["scheduler"]
        gains[name] = round(avoidable / (ms["total"] - avoidable), 4)
    case, most = max(gains.items(), key=lambda item: item[1])
    return {
        "gain_at_most": gains,
        "conclusion": (
            f"An own loop {'is not' if most <= WORTH else 'may be'} worth it: even if the scheduler and all of"
            f" diffusers' call outside the models cost nothing, images/s would rise by {most:.1%} at most ({case});"
            f" the limit is {WORTH:.0%}."
        ),
    }


def write(name: str, results: dict[str, Any], out: Path | None) -> Path:
    """Write ``results/NAME.json``, or the file that was asked for."""
    # Not at the top, and so for all that is ours: a process that measures another checkout has its own.
    from benchmarks import report
    from inpaint_transform.tools.bench.report import describe, save

    if out is None:
        return report.write(name, results)
    save(out, describe(f"python -m benchmarks.{name}", sys.argv[1:], results))
    return out


def measure(before: Path | None, quick: bool) -> dict[str, Any]:
    """Measure this package and, where given, another checkout in turn with it."""
    from inpaint_transform.core.presets import PRESET_FIELDS
    from inpaint_transform.tiny import CHECKPOINT

    here = Path(__file__).resolve().parents[1]
    packages = {"after": here} if before is None else {"before": before.resolve(), "after": here}
    found: dict[str, dict[str, list[Round]]] = {name: {} for name in packages}
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "checkpoints": {"tiny": str(CHECKPOINT), "wide": random_unet(Path(folder) / "wide", **WIDE)},
            "batches": [1, 2] if quick else list(BATCHES),
            "steps": 2 if quick else PRESET_FIELDS["tiny"]["steps"],
            "rounds": 1 if quick else 5,
        }
        for _ in range(1 if quick else 3):
            for name, package in packages.items():
                for case, rounds in measure_in_fresh_process(package, settings).items():
                    found[name].setdefault(case, []).extend(rounds)
    tables = {name: {case: milliseconds(rounds) for case, rounds in cases.items()} for name, cases in found.items()}
    results: dict[str, Any] = {
        "milliseconds_per_call": tables["after"],
        "own_handling_share": {
            case: round(ms["own_handling"] / ms["total"], 4) for case, ms in tables["after"].items()
        },
        "own_loop": own_loop(tables["after"]),
        "steps": settings["steps"],
        "wide": f"the tiny model with a UNet of {WIDE['block_out_channels']} channels, random weights",
    }
    if "before" in tables:
        results["before_milliseconds_per_call"] = tables["before"]
        results["faster_than_before"] = {
            case: round(tables["before"][case]["total"] / ms["total"], 3) for case, ms in tables["after"].items()
        }
    return results


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print a table, one line a case."""
    print(f"{title:30}" + "".join(f"{column[:18]:>20}" for column in ("total", *STAGES)))
    for case, ms in table.items():
        print(f"{case:30}" + "".join(f"{ms[column]:20.2f}" for column in ("total", *STAGES)))


def main() -> None:
    """Run and write ``results/engine_profile.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout of the package, measured in turn with this one")
    parser.add_argument("--quick", action="store_true", help="two steps, small batches, one round")
    parser.add_argument("--out", type=Path, help="JSON file to write instead")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.out)
        return
    results = measure(arguments.before, arguments.quick)
    if "before_milliseconds_per_call" in results:
        show("before, ms a call", results["before_milliseconds_per_call"])
    show("ms a call", results["milliseconds_per_call"])
    print(results["own_loop"]["conclusion"])
    print(f"wrote {write('engine_profile', results, arguments.out)}")


if __name__ == "__main__":
    main()
