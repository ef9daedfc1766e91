"""What is said on the terminal: names of files and classes come from elsewhere, and none of them may steer it."""

import logging
import sys
import unicodedata

import typer

# Newlines part sentences; the others join the letters of several scripts.
_KEPT = "\n\t\u200c\u200d"


def printable(text: object) -> str:
    """Text with its control and formatting characters, and bytes that are no text, written as escapes."""
    return "".join(
        character
        if character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )


def say(message: object) -> None:
    """Write a line to stdout."""
    typer.echo(printable(message))


def warn(message: object) -> None:
    """Write a line to stderr, above a progress bar if one is there."""
    from tqdm import tqdm

    tqdm.write(printable(message), file=sys.stderr)
    # A result that follows goes to stdout, and must not come before it where both end in one place.
    sys.stderr.flush()


def rewind(lines: int) -> None:
    """Take back the last lines of stdout, so that others can be written in their place."""
    typer.echo(f"\x1b[{lines}A\x1b[J", nl=False)


class Remarks(logging.Handler):
    """Passes on what the library logs, and says as little of where it comes from as Python does without a handler."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to stderr."""
        warn(self.format(record))
