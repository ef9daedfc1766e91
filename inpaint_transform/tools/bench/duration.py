"""How long a benchmark will take, from what it is going to measure and how fast the machine turns out to be."""

from __future__ import annotations

from inpaint_transform.tools.bench.settings import BATCHES, MAX_POOLED, PATIENCE, VARIANTS, Case, Settings


def least(settings: Settings) -> float:
    """The seconds that all measurements take together, however fast the machine; processes have to start besides."""
    return settings.seconds * (len(BATCHES) + 1 + len(_loaders(settings)))


def expected(settings: Settings, start_s: float, paint_s: float, boxes: int) -> float:
    """How long everything takes from the moment at which the model is loaded for the first time.

    Args:
        settings: What is measured.
        start_s: Seconds in which a process started and loaded the model.
        paint_s: Seconds in which it painted one crop.
        boxes: Of the data set: as many as there are, up to ``MAX_POOLED``, get looks.

    Returns:
        Seconds.
    """
    bare = sum(batch * paint_s + max(settings.seconds, 2 * batch * paint_s) for batch in BATCHES)
    alone = max(settings.seconds, 3 * paint_s)
    painting = sum(_of_loader(settings, case, case.p * paint_s) for case in _painting(settings))
    pooled = settings.seconds * len(settings.pooled()) + min(boxes, MAX_POOLED) * VARIANTS * paint_s
    return bare + alone + painting + pooled + start_s * _starts(settings)


def _painting(settings: Settings) -> list[Case]:
    return [*settings.loaders(shared=False), *settings.loaders(shared=True)]


def _loaders(settings: Settings) -> list[Case]:
    return [*_painting(settings), *settings.pooled()]


def _of_loader(settings: Settings, case: Case, image_s: float) -> float:
    """A loader: the batch of each worker before it is measured, as long as it is, and those that nobody waits for."""
    workers, batch_s = max(case.workers, 1), settings.batch_size * image_s
    measured = max(settings.seconds, min(2 * workers * batch_s, PATIENCE * settings.seconds))
    return workers * batch_s + measured + case.workers * batch_s


def _starts(settings: Settings) -> int:
    """How many processes start from now on: one for each of two or three stages, and the servers of two of them."""
    return 2 + 3 * settings.shared


def in_words(seconds: float) -> str:
    """A length of time with two digits.

    Examples:
        >>> in_words(8.04), in_words(125), in_words(90_000)
        ('8 s', '2.1 min', '25 h')
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds)} s"


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"
