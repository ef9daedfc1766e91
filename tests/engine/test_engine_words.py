"""Textual inversion: a word that was taught changes what is painted, and wrong files are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pipelines
import pytest
import torch
from crop_requests import difference, make, request
from safetensors.torch import save_file

from inpaint_transform.engine import Engine

WORD = "<my-cone>"


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.save_sd_inpaint(tmp_path_factory.mktemp("sd") / "checkpoint")


def paint(engine: Engine, prompt: str) -> Any:
    return engine.paint([request(0, prompt=prompt)])[0]


@pytest.mark.parametrize("vectors", [1, 3])
def test_the_word_is_in_the_prompt_what_was_learned(sd: Path, vectors: int, tmp_path: Path) -> None:
    file = pipelines.save_word(tmp_path / "cone.safetensors", vectors)
    plain, taught = make(sd), make(sd, textual_inversion={WORD: str(file)})
    assert difference(paint(plain, f"a {WORD} here"), paint(taught, f"a {WORD} here")) > 0
    assert difference(paint(plain, "a cone here"), paint(taught, "a cone here")) == 0


def test_several_words_and_a_folder(sd: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    pipelines.save_word(tmp_path / "folder" / "learned_embeds.safetensors")
    other = pipelines.save_word(tmp_path / "other.safetensors", 2)
    engine = make(sd, textual_inversion={"<one>": str(tmp_path / "folder"), "<two>": str(other)})
    assert difference(paint(engine, "<one>"), paint(engine, "<two>")) > 0


def test_a_word_of_many_vectors_counts_for_all_of_them(sd: Path, tmp_path: Path) -> None:
    engine = make(sd, textual_inversion={WORD: str(pipelines.save_word(tmp_path / "cone.safetensors", 70))})
    with pytest.raises(ValueError, match=r"has \d+ tokens, but the model reads 77"):
        paint(engine, f"{WORD} abcdefghij")


def test_both_text_encoders_of_sdxl_learn(tmp_path: Path) -> None:
    xl = pipelines.save_sdxl_inpaint(tmp_path / "xl")
    file = pipelines.save_word(tmp_path / "cone.safetensors", both=True)
    engine = make(xl, textual_inversion={WORD: str(file)})
    pipeline = engine._pipeline
    for number, (encoder, tokenizer) in enumerate(
        [(pipeline.text_encoder, pipeline.tokenizer), (pipeline.text_encoder_2, pipeline.tokenizer_2)], start=1
    ):
        row = encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(WORD)]
        from_file = pipelines.safetensors.torch.load_file(file)["clip_l"][0] * number
        torch.testing.assert_close(row.detach(), from_file)
    assert difference(paint(make(xl), WORD), paint(engine, WORD)) > 0


def refused(path: Path, where: Path, kind: type[Exception] = ValueError, word: str = WORD) -> str:
    with pytest.raises(kind, match="textual_inversion=") as caught:
        make(path, textual_inversion={word: str(where)})
    return str(caught.value)


def test_wrong_files_are_told_by_what_they_hold(sd: Path, tmp_path: Path) -> None:
    other = pipelines.save_word(tmp_path / "other.safetensors", width=48)
    assert "made for a text encoder of 48 features, and this model's has 32" in refused(sd, other)
    lora = next(pipelines.save_sd_lora(tmp_path / "lora").glob("*.safetensors"))
    assert "it holds a LoRA" in refused(sd, lora)
    assert "it holds an autoencoder" in refused(sd, sd / "vae" / "diffusion_pytorch_model.safetensors")
    assert "textual inversion" in refused(sd, pipelines.save_word(tmp_path / "xl.safetensors", both=True))
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"torn")
    assert "is torn" in refused(sd, torn)
    for suffix in (".pt", ".bin"):
        file = tmp_path / f"cone{suffix}"
        file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        assert "never read: look for the same embedding as .safetensors" in refused(sd, file)
    assert "there is no such file" in refused(sd, tmp_path / "gone.safetensors", FileNotFoundError)
    (tmp_path / "empty").mkdir()
    assert "has 0 .safetensors files" in refused(sd, tmp_path / "empty", FileNotFoundError)


def test_a_word_that_the_model_has_already(sd: Path, tmp_path: Path) -> None:
    file = pipelines.save_word(tmp_path / "a.safetensors")
    assert "the model has such a word already" in refused(sd, file, word="a")


def test_a_model_that_takes_none(tmp_path: Path) -> None:
    qwen = pipelines.save_qwen(tmp_path / "qwen")
    assert "QwenImageInpaintPipeline takes none" in refused(qwen, pipelines.save_word(tmp_path / "a.safetensors"))


def test_a_word_where_a_model_is_wanted_is_told_where_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "cone.safetensors"
    save_file({"emb_params": torch.zeros(1, 32)}, file)
    with pytest.raises(ValueError, match=r"holds a textual inversion embedding; give it as textual_inversion={'<a"):
        make(file)
