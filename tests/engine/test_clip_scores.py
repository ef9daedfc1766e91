"""The engine's CLIP model: a small one with random weights, and the embedded one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import pytest
import safetensors.torch
import torch
import transformers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from inpaint_transform import tiny
from inpaint_transform.core.errors import InpaintError
from inpaint_transform.core.models import ModelSpec
from inpaint_transform.core.protocol import InpaintRequest, InpaintResult, Question
from inpaint_transform.engine import Engine, clip_scores
from inpaint_transform.engine.clip_scores import Clip

SIZE = pipelines.SIZE
PICTURE = 24
TEXTS = ("a cone", "a cube", "background")
CPU = torch.device("cpu")

needs_tiny = pytest.mark.skipif(not (tiny.CLIP / "config.json").exists(), reason="the embedded CLIP is not here")


def save_clip(folder: Path) -> Path:
    """A ``CLIPModel`` with its tokenizer and image processor; always the same weights."""
    tokenizer = pipelines.clip_tokenizer()
    narrow = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.CLIPModel(
            transformers.CLIPConfig(
                text_config={**narrow, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 40},
                vision_config={**narrow, "image_size": PICTURE, "patch_size": 8},
                projection_dim=16,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": PICTURE}, crop_size={"height": PICTURE, "width": PICTURE})
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.save_sd_inpaint(tmp_path_factory.mktemp("sd") / "checkpoint")


@pytest.fixture(scope="module")
def engine(sd: Path, folder: Path) -> Engine:
    return make(sd, clip=str(folder))


def make(path: Path, **fields: Any) -> Engine:
    return Engine(ModelSpec(str(path), **{"device": "cpu", "size": SIZE, "steps": 2, **fields}))


def request(seed: int = 0, question: Question | None = None, **fields: Any) -> InpaintRequest:
    image = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[8:24, 8:24] = True
    return InpaintRequest(image, mask, **{"prompt": "a thing", "seed": seed, "question": question, **fields})


def expected(folder: Path, result: InpaintResult, question: Question) -> np.ndarray:
    """What transformers itself says of a square box: no part of it is cropped away."""
    assert result.image is not None
    x0, y0, x1, y1 = question.box
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)(list(question.texts), padding=True, return_tensors="pt")
    picture = CLIPImageProcessorPil.from_pretrained(folder)(result.image[y0:y1, x0:x1], return_tensors="pt")
    with torch.no_grad():
        output = transformers.CLIPModel.from_pretrained(folder)(**tokens, **picture)
    return output.logits_per_image.softmax(dim=1)[0].numpy()


def test_answers_are_those_of_transformers(engine: Engine, folder: Path) -> None:
    question = Question((8, 8, 24, 24), TEXTS)
    [result] = engine.paint([request(question=question)])
    assert result.answer is not None
    assert sum(result.answer) == pytest.approx(1, abs=1e-5)
    # The pictures go through other resampling code, on rounded and on unrounded levels.
    assert np.allclose(result.answer, expected(folder, result, question), atol=0.01)
    assert max(result.answer) - min(result.answer) > 0.05  # else anything would be close


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_precisions_answer_much_the_same(dtype: torch.dtype, folder: Path) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), np.uint8))
    question = Question((2, 2, 30, 25), TEXTS)
    [full], [half] = (Clip(str(folder), CPU, one).answers(image, [question]) for one in (torch.float32, dtype))
    assert full != half
    assert np.allclose(full, half, atol=0.05)


def test_only_what_was_asked_is_answered(engine: Engine, folder: Path) -> None:
    questions = [Question((8, 8, 24, 24), TEXTS), None, Question((0, 0, 32, 32), ("b", "a")), None]
    asked = [request(seed, question) for seed, question in enumerate(questions)]
    results = engine.paint(asked)
    assert [result.answer and len(result.answer) for result in results] == [3, None, 2, None]
    plain = engine.paint([dataclasses.replace(one, question=None) for one in asked])
    for one, other in zip(results, plain, strict=True):
        assert np.array_equal(one.image, other.image)
    for result, question in zip(results, questions, strict=True):
        if question is not None:
            assert np.allclose(result.answer, expected(folder, result, question), atol=0.01)


def test_the_box_alone_counts(folder: Path) -> None:
    model = Clip(str(folder), CPU, torch.float32)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8))
    other = image.clone()
    other[:, :, 20:] = 0
    question = Question((4, 4, 20, 28), TEXTS)
    [one], [two] = model.answers(image[None], [question]), model.answers(other[None], [question])
    assert one == two
    whole = Question((0, 0, 32, 32), TEXTS)
    assert model.answers(image[None], [whole]) != model.answers(other[None], [whole])


def test_an_answer_does_not_depend_on_the_other_texts_of_a_batch(folder: Path) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), np.uint8))
    question = Question((0, 0, 32, 32), TEXTS)
    alone = Clip(str(folder), CPU, torch.float32).answers(image, [question])
    model = Clip(str(folder), CPU, torch.float32)
    model.answers(image, [Question((0, 0, 9, 9), ("a much longer text than the others", "cone"))])
    assert model.answers(image, [question]) == alone


def test_texts_are_kept_within_bounds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_scores, "TEXTS_KEPT", 4)
    model = Clip(str(folder), CPU, torch.float32)
    image = torch.zeros((1, 3, 8, 8), dtype=torch.uint8)
    first = model.answers(image, [Question((0, 0, 8, 8), ("a", "b"))])
    # More texts than are kept, in one question too.
    model.answers(image, [Question((0, 0, 8, 8), tuple("cdefgh"))])
    assert len(model._kept) == 4
    assert model.answers(image, [Question((0, 0, 8, 8), ("a", "b"))]) == first


@pytest.mark.parametrize("padded", [False, True])
def test_reproducible_answers(padded: bool, sd: Path, folder: Path) -> None:
    engine = make(sd, clip=str(folder), max_batch_size=3, reproducible=padded)
    question = Question((8, 8, 24, 24), TEXTS)
    [alone] = engine.paint([request(question=question)])
    together = engine.paint([request(question=question), request(1, question), request(2)])[0]
    assert alone.answer is not None
    assert np.allclose(alone.answer, together.answer, atol=1e-4)
    if padded:
        assert alone.answer == together.answer


def test_rejected_images_have_no_answer(sd: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make(sd, clip=str(folder))
    monkeypatch.setattr("inpaint_transform.engine.engine.verdicts", lambda images, masks: ["near constant", None])
    question = Question((8, 8, 24, 24), TEXTS)
    one, other = engine.paint([request(0, question), request(1, question)])
    assert (one.rejected, one.answer) == ("near constant", None)
    assert other.answer is not None


def test_a_model_that_overflows_says_so(folder: Path, tmp_path: Path) -> None:
    path = save_clip(tmp_path)
    weights = safetensors.torch.load_file(path / "model.safetensors")
    weights["visual_projection.weight"][:] = float("nan")
    safetensors.torch.save_file(weights, path / "model.safetensors", {"format": "pt"})
    model = Clip(str(path), CPU, torch.float32)
    with pytest.raises(InpaintError, match=r"clip=.* gave no finite numbers .*dtype='float32'"):
        model.answers(torch.zeros((1, 3, 8, 8), dtype=torch.uint8), [Question((0, 0, 8, 8), TEXTS)])


# Questions that have no answer


@pytest.mark.parametrize(
    ("question", "named"),
    [
        (Question((8, 8, 8, 24), TEXTS), r"the box \(8, 8, 8, 24\) is empty"),
        (Question((8, 8, 24, 33), TEXTS), ".*not inside the crop of 32 pixels"),
        (Question((-1, 8, 24, 24), TEXTS), ".*not inside the crop"),
        (Question((8, 8, 24, 24), ()), "there is no text"),
        (Question((8, 8, 24, 24), ("x" * 60,)), r"'x+' has 62 tokens, but clip=.* reads 40: shorten it"),
    ],
)
def test_questions_without_an_answer(question: Question, named: str, engine: Engine) -> None:
    with pytest.raises(ValueError, match=f"question: {named}"):
        engine.paint([request(1), request(0, question)])


def test_a_question_to_nobody(sd: Path) -> None:
    with pytest.raises(ValueError, match=r"question: it names no CLIP .* ModelSpec\(clip=...\)"):
        make(sd).paint([request(question=Question((8, 8, 24, 24), TEXTS))])


def test_a_question_brings_its_clip_and_needs_no_pipeline_of_its_own(sd: Path, folder: Path, engine: Engine) -> None:
    plain = make(sd)
    asked, silent = request(question=Question((8, 8, 24, 24), TEXTS, str(folder))), request(1)
    first, second = plain.paint([asked, silent])
    assert first.answer is not None
    assert second.answer is None
    [beside] = engine.paint([request(question=Question((8, 8, 24, 24), TEXTS))])
    assert np.allclose(first.answer, beside.answer, atol=1e-4)
    for _ in range(2):  # tried once, remembered
        with pytest.raises(FileNotFoundError, match="there is no such folder"):
            plain.paint([request(question=Question((8, 8, 24, 24), TEXTS, "/no/such/clip"))])
    assert plain.paint([asked])[0].answer is not None


# Folders


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"clip='.*nothing': there is no such folder.*nor 'tiny'"):
        Clip(str(tmp_path / "nothing"), CPU, torch.float32)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"clip=.*the folder has no config.json; give a folder in the trans"):
        Clip(str(tmp_path), CPU, torch.float32)


def test_a_diffusion_checkpoint(sd: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"clip=.*no config.json"):
        make(sd, clip=str(sd))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ('{"model_type": "siglip"}', "holds a model of type 'siglip'; give a CLIP model"),
        ('{"model_type": "clip_text_model"}', "holds a model of type 'clip_text_model'"),
        ("[]", "its config.json holds no JSON object"),
        ("{}", "holds a model of type None"),
        ('{"model_type', "its config.json is no JSON"),
    ],
)
def test_another_kind_of_model(config: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=rf"clip=.*: {named}"):
        Clip(str(tmp_path), CPU, torch.float32)


def test_torn_weights(tmp_path: Path) -> None:
    weights = save_clip(tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InpaintError, match="clip=.*does not load"):
        Clip(str(tmp_path), CPU, torch.float32)


def test_half_a_model(tmp_path: Path) -> None:
    weights = save_clip(tmp_path) / "model.safetensors"
    kept = {name: value for name, value in safetensors.torch.load_file(weights).items() if "text" not in name}
    safetensors.torch.save_file(kept, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=r"clip=.* weights are missing, among them text"):
        Clip(str(tmp_path), CPU, torch.float32)


def test_weights_in_bin_files_only(tmp_path: Path) -> None:
    weights = save_clip(tmp_path) / "model.safetensors"
    torch.save(safetensors.torch.load_file(weights), tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ValueError, match=r"clip=.*has .bin weights only"):
        Clip(str(tmp_path), CPU, torch.float32)


def test_a_folder_without_picture_settings(tmp_path: Path) -> None:
    save_clip(tmp_path)
    for file in (*tmp_path.glob("preprocessor*"), *tmp_path.glob("processor*")):
        file.unlink()
    model = Clip(str(tmp_path), CPU, torch.float32)
    image = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    [answer] = model.answers(image, [Question((0, 0, 8, 8), TEXTS)])
    assert len(answer) == len(TEXTS)


def test_loads_in_silence(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Clip(str(folder), CPU, torch.float32)
    assert capfd.readouterr() == ("", "")


# The embedded one


@needs_tiny
def test_the_embedded_model_is_small_and_in_half_precision() -> None:
    files = [path for path in tiny.CLIP.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4 * 2**20
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    weights = safetensors.torch.load_file(tiny.CLIP / "model.safetensors")
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}


@needs_tiny
def test_the_embedded_model_loads_as_any_clip_does() -> None:
    model = transformers.CLIPModel.from_pretrained(tiny.CLIP)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tiny.CLIP)
    processor = CLIPImageProcessorPil.from_pretrained(tiny.CLIP)
    picture = processor(np.zeros((40, 30, 3), np.uint8), return_tensors="pt")
    output = model(**tokenizer(["a cone", "background"], padding=True, return_tensors="pt"), **picture)
    assert output.logits_per_image.shape == (1, 2)
    json.loads((tiny.CLIP / "preprocessor_config.json").read_text())


@needs_tiny
@pytest.mark.slow
def test_the_embedded_models_understand_each_other() -> None:
    engine = Engine(ModelSpec("tiny", clip="tiny", device="cpu"))
    nouns = ("white blood cell", "red blood cell", "platelet")
    # A grey-rose smear.
    image = np.full((engine.size, engine.size, 3), (200, 180, 185), np.uint8)
    mask = np.zeros(image.shape[:2], bool)
    y, x = mask.shape
    hole = (x // 4, y // 4, 3 * x // 4, 3 * y // 4)
    mask[hole[1] : hole[3], hole[0] : hole[2]] = True
    texts = (*(f"a photo of a {noun}" for noun in nouns), "background")
    question = Question(hole, texts)
    results = engine.paint([InpaintRequest(image, mask, text, seed=1, question=question) for text in texts[:3]])
    for index, result in enumerate(results):
        assert result.answer is not None
        assert result.answer.index(max(result.answer)) == index


def test_the_spec_names_its_clip() -> None:
    spec = ModelSpec("tiny", clip="some/clip")
    assert ModelSpec.of(spec.to_dict()) == spec
    assert spec.resolved().clip == "some/clip"
    assert ModelSpec("tiny").resolved().clip is None
    for wrong in ("", 3):
        with pytest.raises(ValueError, match=f"clip={wrong!r}: give the folder or hub id"):
            ModelSpec("tiny", clip=wrong)  # type: ignore[arg-type] # what a user may get wrong
