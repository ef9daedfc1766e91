"""The configuration of a study: which keys there are, what is checked of them, and what they are made into."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inpaint_transform.datasets.files import read_yaml
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.splits import SPLITS
from inpaint_transform.tools.study import keys
from inpaint_transform.tools.study.keys import ConfigError, Keys, UnfitError

# What a command may name, see this folder's README.
PLACEHOLDERS = ("data", "folder", "seed", "out", "device", "draw", "arm", "n", "args", "transform", "python")
ALL = "all"
EXPORT, ONLINE = USES = ("export", "online")
HIGHER, LOWER = DIRECTIONS = ("higher", "lower")
# Names of arms are names of folders and words of the shell.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Data:
    """The data set of which the draws are; the fields are arguments of ``export``."""

    source: Path
    box_format: BoxFormat
    to: BoxFormat
    boxes: Path | None = None
    names: str | None = None
    split: Mapping[str, str] = field(default_factory=dict)
    clip: bool = False


@dataclass(frozen=True)
class Arm:
    """One way to augment.

    Attributes:
        name: How it is called.
        baseline: Whether it is one of those that the others are measured against.
        transform: A file that ``A.save`` wrote, or None.
        use: ``"export"``, ``"online"``, or None without a transform.
        copies: Painted copies of each training picture, where it is exported.
        args: Text for the command.
        n: Training pictures of each draw where they are other than the study's; None for those.
    """

    name: str
    baseline: bool = False
    transform: Path | None = None
    use: str | None = None
    copies: int = 1
    args: str = ""
    n: int | None = None


@dataclass(frozen=True)
class Metric:
    """Where a training command writes how good its result is.

    Attributes:
        test: Key of the number that is compared.
        file: JSON or CSV, with placeholders.
        val: Key of the same on validation pictures, or None.
        better: ``"higher"`` or ``"lower"``.
        scale: Values are shown times this; None to decide by the values.
        images: File with the results on each test picture, with placeholders, or None.
        ground_truth: COCO file with the boxes of the test pictures, or None.
    """

    test: str
    file: str = "{out}/metrics.json"
    val: str | None = None
    better: str = HIGHER
    scale: float | None = None
    images: str | None = None
    ground_truth: Path | None = None


@dataclass(frozen=True)
class Config:
    """A study, as its configuration says; paths are absolute.

    Attributes:
        command: The training command, with placeholders.
        arms: What is compared.
        metric: What is compared of it.
        out: Folder for results, sets and runs.
        folder: Where the command runs.
        name: How the study is called.
        data: What the draws are drawn from; None where the draws are seeds alone.
        n: Training pictures of each draw; None for all.
        draws: How many.
        seed: Of the first.
        devices: One training at a time on each.
        depends: Files that a result depends on.
    """

    command: str
    arms: tuple[Arm, ...]
    metric: Metric
    out: Path
    folder: Path
    name: str
    data: Data | None = None
    n: int | None = None
    draws: int = 10
    seed: int = 0
    devices: tuple[str, ...] = ("cpu",)
    depends: tuple[Path, ...] = ()


def read(config: str | Path | Mapping[str, Any]) -> Config:
    """Read and check a configuration.

    Args:
        config: A YAML file, or its keys and values.

    Raises:
        ConfigError: A key or a value is unusable; the message names it and the mend.
        ValueError: The file is not there or is no YAML.
    """
    if isinstance(config, Mapping):
        return _config(config, "configuration", Path.cwd(), None)
    path = Path(config).absolute()
    document = read_yaml(path)
    if not isinstance(document, Mapping):
        raise ConfigError(f"{path}: a configuration has keys and values, such as 'draws: 10'")
    return _config(document, path.name, path.parent, path.parent / path.stem)


def _config(document: Mapping[str, Any], where: str, folder: Path, out: Path | None) -> Config:
    given = Keys(where, document, folder)
    out = given.get("out", given.path, out)
    if out is None:
        raise ConfigError(f"{where}: out is missing; name the folder for results")
    data = given.get("data", given.section("data", _data))
    config = Config(
        command=given.required("command", _command),
        arms=given.required("arms", given.section("arms", _arms)),
        metric=given.required("metric", given.section("metric", _metric)),
        out=out,
        folder=folder,
        name=given.get("name", keys.text, out.name),
        data=data,
        n=given.get("n", _pictures),
        draws=given.get("draws", keys.count, 10),
        seed=given.get("seed", keys.seed, 0),
        devices=given.get("devices", list_devices, ("cpu",)),
        depends=given.get("depends", given.files, ()),
    )
    given.end()
    _check_together(config, given)
    return config


def _check_together(config: Config, given: Keys) -> None:
    baselines = [arm.name for arm in config.arms if arm.baseline]
    if len(config.arms) < 2 or not baselines or len(baselines) == len(config.arms):
        raise given.error(
            "arms", [arm.name for arm in config.arms], "give at least one with 'baseline: true' and another"
        )
    metric = config.metric
    if len(baselines) > 1 and metric.val in (None, metric.test):
        raise given.error(
            "metric.val",
            metric.val,
            f"with {len(baselines)} baselines the best is chosen on validation pictures; name the metric on those, "
            f"which is another than metric.test",
        )
    if config.data is None:
        asked = [name for name in ("data", "folder") if f"{{{name}}}" in config.command]
        if asked:
            raise given.error("command", config.command, f"{{{asked[0]}}} needs the key data, with source and format")
        exported = [arm.name for arm in config.arms if arm.use == EXPORT]
        if exported:
            raise given.error(
                f"arms.{exported[0]}.use", EXPORT, "sets are made from the key data; give it, or use online"
            )
    for arm in config.arms:
        if arm.baseline and arm.n not in (None, config.n):
            raise given.error(
                f"arms.{arm.name}.n", arm.n, "a baseline has the study's pictures; leave n or baseline out"
            )


def _data(given: Keys) -> Data:
    box_format = given.required("format", keys.one_of([kind.value for kind in BoxFormat]))
    data = Data(
        source=given.required("source", given.place),
        box_format=BoxFormat(box_format),
        to=BoxFormat(given.get("to", keys.one_of([kind.value for kind in BoxFormat]), box_format)),
        boxes=given.get("boxes", given.place),
        names=given.get("names", given.text_or_file),
        split=given.get("split", _split, {}),
        clip=given.get("clip", keys.truth, False),
    )
    given.end()
    return data


def _arms(given: Keys) -> tuple[Arm, ...]:
    return tuple(_arm(item, given) for item in given.items().items())


def _arm(item: tuple[str, Any], above: Keys) -> Arm:
    name, settings = item
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{above.where}: {above.prefix}{name}: name an arm with letters, digits and . _ + -")
    given = above.below(name, {} if keys.says_nothing(settings) else settings)
    arm = Arm(
        name=name,
        baseline=given.get("baseline", keys.truth, False),
        transform=given.get("transform", lambda value: None if value == "none" else given.file(value)),
        use=given.get("use", keys.one_of(USES)),
        copies=given.get("copies", keys.count, 1),
        args=given.get("args", keys.text, ""),
        n=given.get("n", keys.count),
    )
    given.end()
    if (arm.transform is None) != (arm.use is None):
        raise given.error("use", arm.use, f"one of {' or '.join(USES)} goes with a transform, and only with one")
    return arm


def _metric(given: Keys) -> Metric:
    metric = Metric(
        test=given.required("test", keys.text),
        file=given.get("file", _in_out, Metric.file),
        val=given.get("val", keys.text),
        better=given.get("better", keys.one_of(DIRECTIONS), HIGHER),
        scale=given.get("scale", keys.factor),
        images=given.get("images", _in_out),
        ground_truth=given.get("ground_truth", given.file),
    )
    given.end()
    if metric.ground_truth is not None and metric.images is None:
        raise given.error("ground_truth", str(metric.ground_truth), "name the detections as metric.images")
    return metric


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template with its placeholders replaced."""
    return template.format_map(values)


def _command(value: Any) -> str:
    return _template(value)


def _in_out(value: Any) -> str:
    text = _template(value)
    if "{out}" not in text:
        raise UnfitError("each run writes into a folder of its own; begin with {out}/, and put it in quotes")
    return text


def _template(value: Any) -> str:
    if isinstance(value, Mapping):
        raise UnfitError("text that begins with { is put in quotes in YAML")
    text = keys.text(value)
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UnfitError(f"{error}; a brace that stands for itself is written twice, {{{{ or }}}}") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in PLACEHOLDERS or form or conversion):
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise UnfitError(
                f"{{{name}}} is no placeholder; there are {known}, and a brace that stands for itself is written twice"
            )
    return text


def list_devices(value: Any) -> tuple[str, ...]:
    """One device or several.

    Raises:
        UnfitError: There is none.
    """
    found = tuple(map(keys.text, keys.listed(value)))
    if not found:
        raise UnfitError("name at least one, such as [cpu]")
    return found


def _split(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not set(value.values()) <= set(SPLITS):
        raise UnfitError(f"give folder: split, the split one of {', '.join(SPLITS)}")
    return {str(name): split for name, split in value.items()}


def _pictures(value: Any) -> int | None:
    if value == ALL:
        return None
    try:
        return keys.count(value)
    except UnfitError:
        raise UnfitError(f"use a count >= 1, or {ALL}") from None
