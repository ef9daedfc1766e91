"""Where a model comes from, a folder or the Hugging Face hub, and what is said where it is not there."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors

from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import PRESETS
from inpaint_transform.engine.weight_files import refusal

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# What ends so is a file, and never the name of a repository.
WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")
# Longest wait in seconds for the hub's first answer. Its own library tries again and again for twenty.
PATIENCE_S = 2.0
# What else than a place an argument may name.
OTHERS = {"id": f"a preset ({', '.join(PRESETS)})", "clip": "'tiny'"}
# For how long in seconds that answer counts: a model may have several parts on the hub.
REMEMBERED_S = 30.0
DOWNLOAD = (
    "On a machine without network: download it elsewhere (`hf download {id} --local-dir FOLDER`), copy the folder and"
    " give its path; or fill the Hugging Face cache once and set HF_HUB_OFFLINE=1"
)


def read_config(argument: str, where: str, name: str, revision: str | None = None) -> dict[str, Any]:
    """Read the file that says what a folder or hub repository holds.

    Args:
        argument: The field of ``ModelSpec`` that names it, for the errors.
        where: A folder or hub id.
        name: The file: ``model_index.json`` or ``config.json``.
        revision: Branch, tag or commit of the hub repository.

    Raises:
        FileNotFoundError: There is no such folder, it lacks the file, or ``where`` is no folder at all.
        ValueError: The file is no JSON object.
        InpaintError: The hub does not give it.
    """
    check_place(argument, where)
    if Path(where).is_file():
        raise refusal(argument, where)
    file = Path(where) / name
    if not Path(where).is_dir():
        try:
            file = Path(huggingface_hub.hf_hub_download(where, name, revision=revision, **hub_options(where)))
        except (OSError, ValueError, errors.EntryNotFoundError) as error:
            raise load_error(argument, where, error) from error
    elif not file.is_file():
        raise FileNotFoundError(
            f"{argument}={where!r}: the folder has no {name}; give a folder in the"
            f" {'transformers' if argument == 'clip' else 'diffusers'} layout, as save_pretrained() and"
            " `hf download --local-dir` write it"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{argument}={where!r}: its {name} is no JSON ({error}); copy the folder again") from error
    if not isinstance(config, dict):
        raise ValueError(f"{argument}={where!r}: its {name} holds no JSON object; copy the folder again")
    return config


def check_place(argument: str, where: str) -> None:
    """Raise where something is neither a folder or file that exists nor can be a hub id.

    Raises:
        FileNotFoundError: Names the argument and the path.
    """
    if Path(where).exists():
        return
    if where.lower().endswith(WEIGHTS):
        raise FileNotFoundError(
            f"{argument}={where!r}: there is no such file; it was looked for in {Path(where).absolute().parent}"
        )
    if not HUB_ID.fullmatch(where):
        other = (
            f"neither a hub id (owner/name) nor {OTHERS[argument]}" if argument in OTHERS else "no hub id (owner/name)"
        )
        raise FileNotFoundError(f"{argument}={where!r}: there is no such folder or file, and it is {other}")


def hub_options(where: str) -> dict[str, Any]:
    """Arguments for whatever loads ``where``: without network the hub is not asked, only the cache on this disk."""
    return {} if Path(where).exists() or hub_answers() else {"local_files_only": True}


_asked: tuple[float, bool] | None = None


def hub_answers() -> bool:
    """Whether the hub may be asked and answers at once."""
    global _asked
    if constants.HF_HUB_OFFLINE:
        return False
    if _asked is None or time.monotonic() - _asked[0] > REMEMBERED_S:
        answered = threading.Event()
        # In a thread: no time-out ends the look-up of a name.
        threading.Thread(target=_ask, args=(answered,), daemon=True).start()
        _asked = time.monotonic(), answered.wait(PATIENCE_S + 0.5)
    return _asked[1]


def _ask(answered: threading.Event) -> None:
    try:
        if huggingface_hub.get_session().head(constants.ENDPOINT, timeout=PATIENCE_S).status_code < 500:
            answered.set()
    except Exception:  # noqa: S110 - whatever its HTTP library raises means no
        pass


def load_error(argument: str, where: str, error: BaseException) -> Exception:
    """The error a user can act upon, in place of what diffusers, transformers or the hub said."""
    said = " ".join(str(error).split())
    place = f"{argument}={where!r}"
    if "AutoPipeline can't find" in said:
        return ValueError(
            f"{place}: this kind of checkpoint cannot inpaint ({said}); use a Stable Diffusion, SDXL, SD3, Flux,"
            f" Qwen-Image or Z-Image checkpoint, or a preset ({', '.join(PRESETS)})"
        )
    folder = Path(where)
    if folder.is_dir():
        unsafe = [part.name for part in (folder, *folder.iterdir()) if _has_only_bin_files(part)]
        if unsafe:
            return ValueError(
                f"{place}: {', '.join(unsafe)} has .bin weights only, which can run code when they are opened and are"
                " never read. Convert them: load the folder with diffusers on a machine where you trust it, and call"
                " save_pretrained(FOLDER, safe_serialization=True)"
            )
        return InpaintError(f"{place}: the folder does not load: {said}")
    causes = list(_chain(error))
    if any(isinstance(cause, errors.GatedRepoError) for cause in causes):
        return InpaintError(
            f"{place}: this model is gated. Accept its terms on {constants.ENDPOINT}/{where} with your Hugging Face"
            " account, then log in on this machine with `hf auth login`, or set HF_TOKEN"
        )
    if any(isinstance(cause, errors.RepositoryNotFoundError) for cause in causes):
        return InpaintError(
            f"{place}: no local folder of that name, and the Hugging Face hub knows no such model. Check the spelling;"
            " for a private one log in with `hf auth login`, or set HF_TOKEN"
        )
    if any(isinstance(cause, errors.RevisionNotFoundError) for cause in causes):
        return InpaintError(f"{place}: the model has no such revision; see {constants.ENDPOINT}/{where}")
    if any(isinstance(cause, errors.RemoteEntryNotFoundError) for cause in causes):
        return InpaintError(
            f"{place}: the repository is not in the layout that diffusers and transformers load ({said})"
        )
    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set and it is not, or not all of it, in the Hugging Face cache"
    elif not hub_answers():
        why = f"the Hugging Face hub ({constants.ENDPOINT}) cannot be reached from here"
    else:
        why = f"the Hugging Face hub did not give it ({said}). Check the spelling"
    return InpaintError(f"{place}: no local folder of that name, and {why}. {DOWNLOAD.format(id=where)}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _has_only_bin_files(folder: Path) -> bool:
    return any(folder.glob("*.bin")) and not any(folder.glob("*.safetensors"))
