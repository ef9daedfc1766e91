"""Write the table of presets into ``engine/README.md``: ``python -m benchmarks.preset_table``.

What a preset loads and how it is set comes from ``PRESETS``; what their authors and users say of them stands here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import inpaint_transform
from inpaint_transform.core.models import PRESETS, ModelSpec
from inpaint_transform.tiny import CHECKPOINT

README = Path(inpaint_transform.__file__).parent / "engine" / "README.md"
BEGIN, END = "<!-- presets: python -m benchmarks.preset_table -->\n", "<!-- end of presets -->\n"
COLUMNS = ("preset", "loads", "class", "size", "steps", "guidance", "memory, published", "licence", "run here")
NOTHING = "–"  # noqa: RUF001 - a dash, as in the other tables
RANDOM = "the class, on random weights"


class Notes(NamedTuple):
    """What ``PRESETS`` does not know of a preset."""

    pipeline: str
    licence: str
    memory: str = NOTHING
    run: str = RANDOM
    remark: str = ""


# The licences are those on the models' pages of the hub. Who trains for sale should read them.
NOTES = {
    "tiny": Notes("Stable Diffusion", "MIT", run="yes, all of it"),
    "sd15": Notes("Stable Diffusion", "CreativeML OpenRAIL-M", "2.6 GiB (batch 1, fp16)"),
    "sd15-lcm": Notes("Stable Diffusion", "CreativeML OpenRAIL-M", "as above", f"{RANDOM}, with LoRA and scheduler"),
    "sd2": Notes("Stable Diffusion", "CreativeML OpenRAIL++-M"),
    "sd-turbo": Notes("Stable Diffusion, 4 channels", "Stability AI Community: **conditions on commercial use**"),
    "sdxl": Notes("Stable Diffusion XL", "CreativeML OpenRAIL++-M", "10.5 GiB (fp16)", f"{RANDOM}, with VAE"),
    "sdxl-lcm": Notes(
        "Stable Diffusion XL", "CreativeML OpenRAIL++-M", "as above", f"{RANDOM}, with LoRA, VAE and scheduler"
    ),
    "flux2-klein": Notes("FLUX.2 Klein", "Apache-2.0", '20 GB; 13 GB with `offload="model"` (bf16)'),
    "z-image-turbo": Notes("Z-Image", "Apache-2.0", "fits 16 GB (bf16)"),
    "flux-fill": Notes("FLUX Fill", "FLUX.1 [dev]: **not for commercial use**", "24 GB or more (bf16)", remark="gated"),
}


def table() -> str:
    """The table in Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(_row(name, spec) for name, spec in PRESETS.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(name: str, spec: ModelSpec) -> tuple[str, ...]:
    notes = NOTES[name]
    loads = f"embedded, {_megabytes(CHECKPOINT)} MB ([model card](../tiny/MODEL_CARD.md))"
    if spec.id != str(CHECKPOINT):
        parts = {"LoRA": spec.lora, "VAE": spec.vae}
        loads = ", ".join([f"`{spec.id}`", *(f"{what} `{part}`" for what, part in parts.items() if part)])
    if notes.remark:
        loads += f" ({notes.remark})"
    resolved = spec.resolved()
    guidance = NOTHING if spec.guidance_scale is None else f"{spec.guidance_scale:g}"
    return (
        f"`{name}`",
        loads,
        notes.pipeline,
        str(spec.size),
        str(resolved.steps),
        guidance,
        notes.memory,
        notes.licence,
        notes.run,
    )


def _megabytes(folder: Path) -> int:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6)


def with_table(text: str) -> str:
    """A text with the table between its two marks brought up to date.

    Raises:
        ValueError: The marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text has no lines {BEGIN.strip()!r} and {END.strip()!r} to write the table between")
    return f"{before}{BEGIN}{table()}{END}{after}"


def main() -> None:
    """Bring the README up to date."""
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
    print(f"wrote {README.name}")


if __name__ == "__main__":
    main()
