"""The configuration of a study: which keys there are, what is checked of them, and what they are made into."""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inpaint_transform.core.vocabulary import nearest
from inpaint_transform.datasets.files import exists, read_yaml
from inpaint_transform.datasets.formats.base import BoxFormat
from inpaint_transform.datasets.splits import SPLITS

# What a command may name, see this folder's README.
PLACEHOLDERS = ("data", "folder", "seed", "out", "device", "draw", "arm", "n", "args", "transform", "python")
ALL = "all"
EXPORT, ONLINE = USES = ("export", "online")
HIGHER, LOWER = DIRECTIONS = ("higher", "lower")
# What says "nothing" in YAML, whose scalars are read as they are written.
_NOTHING = ("", "null", "~")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
# Names of arms are names of folders and words of the shell.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class ConfigError(ValueError):
    """A key of a configuration cannot be used; the message names it, its value and the mend."""


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
    keys = _Keys(where, document, folder)
    out = keys.get("out", keys.path, out)
    if out is None:
        raise ConfigError(f"{where}: out is missing; name the folder for results")
    data = keys.get("data", _data)
    config = Config(
        command=keys.required("command", _command),
        arms=keys.required("arms", _arms),
        metric=keys.required("metric", _metric),
        out=out,
        folder=folder,
        name=keys.get("name", _text, out.name),
        data=data,
        n=keys.get("n", _pictures),
        draws=keys.get("draws", _count, 10),
        seed=keys.get("seed", _seed, 0),
        devices=keys.get("devices", _devices, ("cpu",)),
        depends=keys.get("depends", keys.files, ()),
    )
    keys.end()
    _check_together(config, keys)
    return config


def _check_together(config: Config, keys: _Keys) -> None:
    baselines = [arm.name for arm in config.arms if arm.baseline]
    if len(config.arms) < 2 or not baselines or len(baselines) == len(config.arms):
        raise keys.error(
            "arms", [arm.name for arm in config.arms], "give at least one with 'baseline: true' and another"
        )
    metric = config.metric
    if len(baselines) > 1 and metric.val in (None, metric.test):
        raise keys.error(
            "metric.val",
            metric.val,
            f"with {len(baselines)} baselines the best is chosen on validation pictures; name the metric on those, "
            f"which is another than metric.test",
        )
    if config.data is None:
        asked = [name for name in ("data", "folder") if f"{{{name}}}" in config.command]
        if asked:
            raise keys.error("command", config.command, f"{{{asked[0]}}} needs the key data, with source and format")
        if config.n is not None or any(arm.n for arm in config.arms):
            raise keys.error("n", config.n, "pictures are drawn from the key data; give it, or leave n out")
        exported = [arm.name for arm in config.arms if arm.use == EXPORT]
        if exported:
            raise keys.error(
                f"arms.{exported[0]}.use", EXPORT, "sets are made from the key data; give it, or use online"
            )
    for arm in config.arms:
        if arm.baseline and arm.n not in (None, config.n):
            raise keys.error(
                f"arms.{arm.name}.n", arm.n, "a baseline has the study's pictures; leave n or baseline out"
            )


class _Keys:
    """The keys of a mapping, each taken once; those that are left are unknown."""

    def __init__(self, where: str, document: Any, folder: Path, prefix: str = "") -> None:
        self.where, self.folder, self.prefix = where, folder, prefix
        if not isinstance(document, Mapping):
            raise ConfigError(f"{where}: {prefix.rstrip('.')}={document!r}: give keys and values below it")
        self._left = {str(key): value for key, value in document.items()}
        self._known: list[str] = []

    def error(self, key: str, value: Any, mend: str) -> ConfigError:
        return ConfigError(f"{self.where}: {self.prefix}{key}={value!r}: {mend}")

    def get(self, key: str, reader: Callable[..., Any], default: Any = None) -> Any:
        """A value, or the default where the key is not there or says nothing."""
        self._known.append(key)
        value = self._left.pop(key, None)
        if value is None or (isinstance(value, str) and value.strip() in _NOTHING):
            return default
        try:
            return reader(self.below(key, value) if reader in _SECTIONS else value)
        except _UnfitError as error:
            raise self.error(key, value, str(error)) from None

    def required(self, key: str, reader: Callable[..., Any]) -> Any:
        found = self.get(key, reader)
        if found is None:
            hint = "; is that {!r}?".format(*near) if (near := difflib.get_close_matches(key, self._left, n=1)) else ""
            raise ConfigError(f"{self.where}: {self.prefix}{key} is missing; the README of the study tells of it{hint}")
        return found

    def below(self, key: str, value: Any) -> _Keys:
        return _Keys(self.where, value, self.folder, f"{self.prefix}{key}.")

    def items(self) -> dict[str, Any]:
        """All that is left, for a section whose keys are names."""
        left, self._left = self._left, {}
        return left

    def end(self) -> None:
        """Refuse keys that nobody has asked for."""
        for key in self._left:
            hint = nearest(key, self._known) or f"; the keys are {', '.join(self._known)}"
            raise ConfigError(f"{self.where}: {self.prefix}{key}: there is no such key{hint}")

    def path(self, value: Any) -> Path:
        return (self.folder / Path(_text(value)).expanduser()).absolute()

    def file(self, value: Any) -> Path:
        path = self.path(value)
        if not path.is_file():
            raise _UnfitError(f"there is no file {path}")
        return path

    def place(self, value: Any) -> Path:
        path = self.path(value)
        if not path.exists():
            raise _UnfitError(f"there is no file or folder {path}")
        return path

    def text_or_file(self, value: Any) -> str:
        path = self.path(value)
        return str(path) if exists(path) else _text(value)

    def files(self, value: Any) -> tuple[Path, ...]:
        return tuple(map(self.file, _listed(value)))


class _UnfitError(ValueError):
    """What to do about a value; who asked for it adds where it stands."""


def _data(keys: _Keys) -> Data:
    box_format = keys.required("format", _one_of([kind.value for kind in BoxFormat]))
    data = Data(
        source=keys.required("source", keys.place),
        box_format=BoxFormat(box_format),
        to=BoxFormat(keys.get("to", _one_of([kind.value for kind in BoxFormat]), box_format)),
        boxes=keys.get("boxes", keys.place),
        names=keys.get("names", keys.text_or_file),
        split=keys.get("split", _split, {}),
        clip=keys.get("clip", _truth, False),
    )
    keys.end()
    return data


def _arms(keys: _Keys) -> tuple[Arm, ...]:
    return tuple(_arm(name, keys) for name in keys.items().items())


def _arm(item: tuple[str, Any], above: _Keys) -> Arm:
    name, settings = item
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{above.where}: {above.prefix}{name}: name an arm with letters, digits and . _ + -")
    empty = settings is None or (isinstance(settings, str) and settings.strip() in _NOTHING)
    keys = above.below(name, {} if empty else settings)
    arm = Arm(
        name=name,
        baseline=keys.get("baseline", _truth, False),
        transform=keys.get("transform", lambda value: None if value == "none" else keys.file(value)),
        use=keys.get("use", _one_of(USES)),
        copies=keys.get("copies", _count, 1),
        args=keys.get("args", _text, ""),
        n=keys.get("n", _count),
    )
    keys.end()
    if (arm.transform is None) != (arm.use is None):
        raise keys.error("use", arm.use, f"one of {' or '.join(USES)} goes with a transform, and only with one")
    return arm


def _metric(keys: _Keys) -> Metric:
    metric = Metric(
        test=keys.required("test", _text),
        file=keys.get("file", _in_out, Metric.file),
        val=keys.get("val", _text),
        better=keys.get("better", _one_of(DIRECTIONS), HIGHER),
        scale=keys.get("scale", _factor),
        images=keys.get("images", _in_out),
        ground_truth=keys.get("ground_truth", keys.file),
    )
    keys.end()
    if metric.ground_truth is not None and metric.images is None:
        raise keys.error("ground_truth", str(metric.ground_truth), "name the file with the detections as metric.images")
    return metric


_SECTIONS: tuple[Callable[..., Any], ...] = (_data, _arms, _metric)


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template with its placeholders replaced."""
    return template.format_map(values)


def _command(value: Any) -> str:
    return _template(value)


def _in_out(value: Any) -> str:
    text = _template(value)
    if "{out}" not in text:
        raise _UnfitError("each run writes into a folder of its own; begin with {out}/, and put it in quotes")
    return text


def _template(value: Any) -> str:
    if isinstance(value, Mapping):
        raise _UnfitError("text that begins with { is put in quotes in YAML")
    text = _text(value)
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise _UnfitError(f"{error}; a brace that stands for itself is written twice, {{{{ or }}}}") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in PLACEHOLDERS or form or conversion):
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise _UnfitError(
                f"{{{name}}} is no placeholder; there are {known}, and a brace that stands for itself is written twice"
            )
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float | Path) or isinstance(value, bool):
        raise _UnfitError("give text")
    return str(value)


def _listed(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, str | Path) or not isinstance(value, Sequence) else value


def _devices(value: Any) -> tuple[str, ...]:
    found = tuple(map(_text, _listed(value)))
    if not found:
        raise _UnfitError("name at least one, such as [cpu]")
    return found


def _split(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not set(value.values()) <= set(SPLITS):
        raise _UnfitError(f"give folder: split, the split one of {', '.join(SPLITS)}")
    return {str(name): split for name, split in value.items()}


def _one_of(known: Sequence[str]) -> Callable[[Any], str]:
    def read_one(value: Any) -> str:
        text = value.value if isinstance(value, BoxFormat) else value
        if text not in known:
            raise _UnfitError(f"use {' or '.join(known)}")
        return str(text)

    return read_one


def _truth(value: Any) -> bool:
    text = str(value).lower()
    if text not in (*_TRUE, *_FALSE):
        raise _UnfitError("use true or false")
    return text in _TRUE


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]+", str(value)):
        raise _UnfitError("use a whole number")
    return int(value)


def _seed(value: Any) -> int:
    number = _whole(value)
    if number < 0:
        raise _UnfitError("use a number >= 0")
    return number


def _count(value: Any) -> int:
    number = _whole(value)
    if number < 1:
        raise _UnfitError("use a count >= 1")
    return number


def _pictures(value: Any) -> int | None:
    if value == ALL:
        return None
    try:
        return _count(value)
    except _UnfitError:
        raise _UnfitError(f"use a count >= 1, or {ALL}") from None


def _factor(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise _UnfitError("use a number > 0")
    return number
