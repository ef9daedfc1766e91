"""The labels of an Albumentations sample: float columns behind the boxes, in the coding of the Compose around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from inpaint_transform.core.labels import Label, plain_label

# float32 holds all whole numbers up to here.
MAX_WHOLE = 2**24
# What the name of a field has in it that says of which class a box is: labels, class_ids, category_id.
_CLASS_WORDS = ("label", "class", "categor")


class LabelColumns:
    """Reads and rewrites the label fields of ``bboxes``.

    Args:
        processor: The ``BboxProcessor`` of the Compose; None without one, and then there are no fields.
        field: Which of its label fields names the class; None for the one whose name speaks of classes, or the first.

    Attributes:
        fields: The label fields, in the order of their columns.
        field: The field that names the class; None where there are none.
        doubt: What to say where that is a guess; None where it is not.

    Raises:
        ValueError: There is no such field.
    """

    def __init__(self, processor: Any, field: str | None) -> None:
        self._manager: Any = None if processor is None else processor.label_manager
        self.fields: list[str] = [] if processor is None else list(processor.params.label_fields or ())
        if field is not None and field not in self.fields:
            raise ValueError(f"label_field={field!r} is not one of BboxParams(label_fields={self.fields})")
        candidates = [field] if field is not None else _fields_of_classes(self.fields)
        self.field = next(iter(candidates), None)
        self.doubt: str | None = None
        if len(candidates) > 1:
            self.doubt = (
                f"BboxParams has the label fields {self.fields}, and {self.field!r} is taken for the class; if another "
                f"one is, name it: label_field=..."
            )

    def read(self, rows: np.ndarray) -> list[Label] | None:
        """The labels of the rows; None where there is no label field, or no row.

        Args:
            rows: ``(N, 4 + ...)``, the label columns last.
        """
        return None if self.field is None or not len(rows) else self.values(rows, self.field)

    def values(self, rows: np.ndarray, field: str) -> list[Label]:
        """The values of one label field.

        Raises:
            ValueError: There is no such field.
        """
        if field not in self.fields:
            raise ValueError(f"{field!r} is not one of BboxParams(label_fields={self.fields})")
        column = rows[:, self._position(rows, field)]
        return [plain_label(value) for value in self._manager.restore_field("bboxes", field, column)]

    def too_large(self, rows: np.ndarray) -> list[str]:
        """The fields with numbers that a Compose, which keeps all labels as float32, may have changed."""
        numeric = [field for field in self.fields if self._manager.metadata["bboxes"][field].is_numerical]
        return [field for field in numeric if np.abs(rows[:, self._position(rows, field)]).max() >= MAX_WHOLE]

    def write(self, rows: np.ndarray, field: str, values: Mapping[int, Any]) -> None:
        """Give rows new values of one label field, in place.

        Args:
            rows: ``(N, 4 + ...)``, the label columns last.
            field: The label field.
            values: New value by row.

        Raises:
            ValueError: The field cannot hold a new value.
        """
        for row, value in values.items():
            rows[row, self._position(rows, field)] = self._code(field, value)

    def _position(self, rows: np.ndarray, field: str) -> int:
        return int(rows.shape[1]) - len(self.fields) + self.fields.index(field)

    def _code(self, field: str, value: Any) -> float:
        """What the Compose will turn back into this value; a string that it has not seen becomes known to it."""
        metadata = self._manager.metadata["bboxes"][field]
        if metadata.is_numerical:
            fits = isinstance(value, Real) and _holds(metadata.dtype, value) and _holds(np.dtype(np.float32), value)
            if not fits:
                raise ValueError(
                    f"relabel gives {value!r}, but the field {field!r} holds numbers"
                    f"{'' if metadata.dtype is None else f' of {metadata.dtype}'}; give a number that fits"
                )
            return float(value)
        if not isinstance(value, str):
            raise ValueError(f"relabel gives {value!r}, but the field {field!r} holds strings; give a string")
        metadata.encoder.fit([value])
        if metadata.dtype is not None:
            # An array of strings has the length of its longest: a new label would come back cut off.
            metadata.dtype = np.promote_types(metadata.dtype, np.asarray(value).dtype)
        [code] = metadata.encoder.transform([value])
        return float(code)


def _fields_of_classes(fields: Sequence[str]) -> Sequence[str]:
    """Which of several label fields may name the class, the likeliest first; one where their names tell."""
    plainly = [field for field in fields if field.lower() in ("label", "labels")]
    named = plainly or [field for field in fields if any(word in field.lower() for word in _CLASS_WORDS)]
    return named if len(named) == 1 else fields


def _holds(dtype: np.dtype[Any] | None, value: Real) -> bool:
    """Whether a number survives in an array of this type; None is a list, which holds all."""
    if dtype is None:
        return True
    try:
        return bool(dtype.type(value).item() == value)
    except OverflowError:
        return False
