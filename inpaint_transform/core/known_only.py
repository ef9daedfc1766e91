"""Known only: a constructor names an argument that it does not have, and the one that was probably meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from inpaint_transform.core.nearest import nearest
from inpaint_transform.core.user_warning import warn_user

Initialise = TypeVar("Initialise", bound=Callable[..., None])
_Made = TypeVar("_Made")


def known_only(ignored: Collection[str] = ()) -> Callable[[Initialise], Initialise]:
    """Makes a constructor name an argument which it does not have, and the nearest that it has.

    Args:
        ignored: Arguments that a framework hands to all its transforms: they are warned of and left out.

    Raises:
        TypeError: When the constructor is called with an argument that is in neither list.
    """

    def decorate(initialise: Initialise) -> Initialise:
        known = [name for name in inspect.signature(initialise).parameters if name != "self"]

        @functools.wraps(initialise)
        def checked(self: Any, *args: Any, **given: Any) -> None:
            kind = type(self).__name__
            for name in set(given) - set(known):
                if name not in ignored:
                    hint = nearest(name, known) or f"; it has {', '.join(known)}"
                    raise TypeError(f"{kind} has no argument {name!r}{hint}")
                del given[name]
                warn_user(f"{kind} has no use for the argument {name!r}", UserWarning)
            initialise(self, *args, **given)

        return cast(Initialise, checked)

    return decorate


def known_fields(made: type[_Made]) -> type[_Made]:
    """The same for a dataclass; it stands above ``@dataclass``, which makes the constructor.

    Examples:
        >>> from dataclasses import dataclass
        >>> @known_fields
        ... @dataclass
        ... class Model:
        ...     steps: int = 20
        >>> Model(step=3)
        Traceback (most recent call last):
        TypeError: Model has no argument 'step'; did you mean 'steps'?
    """
    made.__init__ = known_only()(made.__init__)  # type: ignore[method-assign]
    return made
