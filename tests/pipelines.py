"""Small random-weight pipelines of the real classes, saved to a folder the way a hub checkpoint is.

Every builder takes the folder to write, returns it, and always writes the same weights. Working crops are 32x32 and a
latent cell is 4 pixels, so one paint takes a fraction of a second on one core.
"""

from __future__ import annotations

import contextlib
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import safetensors.torch
import torch
import transformers

SIZE = 32
CELL = 4
MAX_TOKENS = 77


def save_sd_inpaint(folder: Path, unet_channels: int = 9, safety_checker: Any = None, **vae: Any) -> Path:
    """A ``StableDiffusionInpaintPipeline``; 9 channels as sd15-inpainting, 4 as any text-to-image checkpoint."""
    with _seeded():
        tokenizer = clip_tokenizer()
        pipeline = diffusers.StableDiffusionInpaintPipeline(
            vae=autoencoder_kl(**vae),
            text_encoder=transformers.CLIPTextModel(_clip_config(tokenizer)),
            tokenizer=tokenizer,
            unet=_unet(unet_channels),
            scheduler=_ddim(),
            safety_checker=safety_checker,
            feature_extractor=None if safety_checker is None else _feature_extractor(),
            requires_safety_checker=safety_checker is not None,
        )
    return _save(pipeline, folder)


def save_sd_text2image(folder: Path) -> Path:
    """A ``StableDiffusionPipeline`` checkpoint (4 channels), which diffusers can inpaint with."""
    with _seeded():
        tokenizer = clip_tokenizer()
        pipeline = diffusers.StableDiffusionPipeline(
            vae=autoencoder_kl(),
            text_encoder=transformers.CLIPTextModel(_clip_config(tokenizer)),
            tokenizer=tokenizer,
            unet=_unet(4),
            scheduler=_ddim(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    return _save(pipeline, folder)


def save_sdxl_inpaint(folder: Path, unet_channels: int = 9) -> Path:
    """A ``StableDiffusionXLInpaintPipeline``."""
    with _seeded():
        tokenizer = clip_tokenizer()
        pipeline = diffusers.StableDiffusionXLInpaintPipeline(
            vae=autoencoder_kl(),
            text_encoder=transformers.CLIPTextModel(_clip_config(tokenizer)),
            text_encoder_2=transformers.CLIPTextModelWithProjection(_clip_config(tokenizer)),
            tokenizer=tokenizer,
            tokenizer_2=clip_tokenizer(),
            # Six time ids of 8 channels each beside the pooled text embedding.
            unet=_unet(
                unet_channels,
                cross_attention_dim=64,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + 32,
            ),
            scheduler=diffusers.EulerDiscreteScheduler(
                beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, timestep_spacing="leading"
            ),
        )
    return _save(pipeline, folder)


def save_sd3(folder: Path) -> Path:
    """A ``StableDiffusion3InpaintPipeline``, with all three text encoders."""
    with _seeded():
        tokenizer = clip_tokenizer()
        pipeline = diffusers.StableDiffusion3InpaintPipeline(
            transformer=diffusers.SD3Transformer2DModel(
                sample_size=SIZE // CELL,
                patch_size=2,
                in_channels=16,
                out_channels=16,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=64,
                caption_projection_dim=32,
                pooled_projection_dim=64,
            ),
            vae=autoencoder_kl(latent_channels=16, shift_factor=0.6, scaling_factor=1.5),
            text_encoder=transformers.CLIPTextModelWithProjection(_clip_config(tokenizer)),
            text_encoder_2=transformers.CLIPTextModelWithProjection(_clip_config(tokenizer)),
            text_encoder_3=_t5_encoder(64),
            tokenizer=tokenizer,
            tokenizer_2=clip_tokenizer(),
            tokenizer_3=_t5_tokenizer(),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    return _save(pipeline, folder)


def save_flux(folder: Path, fill: bool = False) -> Path:
    """A ``FluxInpaintPipeline``, or a ``FluxFillPipeline``, which AutoPipeline does not map."""
    cls = diffusers.FluxFillPipeline if fill else diffusers.FluxInpaintPipeline
    with _seeded():
        tokenizer = clip_tokenizer()
        pipeline = cls(
            # Packed 2x2: 16 latent channels make 64; Fill adds the masked latents and 2x2 cells of 4x4 mask pixels.
            transformer=_flux_transformer(64 + 64 + 4 * CELL * CELL if fill else 64),
            vae=autoencoder_kl(latent_channels=16, shift_factor=0.6, scaling_factor=1.5),
            text_encoder=transformers.CLIPTextModel(_clip_config(tokenizer)),
            text_encoder_2=_t5_encoder(32),
            tokenizer=tokenizer,
            tokenizer_2=_t5_tokenizer(),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    return _save(pipeline, folder)


def save_flux_kontext(folder: Path) -> Path:
    """A ``FluxKontextPipeline``, which always works on a megapixel: 32 pixels a latent cell keep it fast here."""
    with _seeded():
        tokenizer = clip_tokenizer()
        blocks = 6
        pipeline = diffusers.FluxKontextPipeline(
            transformer=_flux_transformer(64),
            vae=autoencoder_kl(
                block_out_channels=(8,) * blocks,
                down_block_types=("DownEncoderBlock2D",) * blocks,
                up_block_types=("UpDecoderBlock2D",) * blocks,
                latent_channels=16,
                shift_factor=0.6,
                scaling_factor=1.5,
            ),
            text_encoder=transformers.CLIPTextModel(_clip_config(tokenizer)),
            text_encoder_2=_t5_encoder(32),
            tokenizer=tokenizer,
            tokenizer_2=_t5_tokenizer(),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    return _save(pipeline, folder)


def save_qwen(folder: Path) -> Path:
    """A ``QwenImageInpaintPipeline``."""
    tokenizer = _qwen_tokenizer()
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6},
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    with _seeded():
        vae = diffusers.AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 2, 2],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.1] * 4,
            latents_std=[1.5] * 4,
        )
        pipeline = diffusers.QwenImageInpaintPipeline(
            transformer=diffusers.QwenImageTransformer2DModel(
                patch_size=2,
                in_channels=16,
                out_channels=4,
                num_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=16,
                axes_dims_rope=(8, 4, 4),
            ),
            vae=_vivid(vae, vae.decoder.conv_out),
            text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(
                transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
            ),
            tokenizer=tokenizer,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    return _save(pipeline, folder)


def save_z_image(folder: Path) -> Path:
    """A ``ZImageInpaintPipeline``."""
    tokenizer = _qwen_tokenizer()
    with _seeded():
        transformer = diffusers.ZImageTransformer2DModel(
            all_patch_size=(2,),
            all_f_patch_size=(1,),
            in_channels=16,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=[8, 4, 4],
            axes_lens=[1024, 32, 32],
        )
        # The class leaves these two uninitialised.
        torch.nn.init.ones_(transformer.x_pad_token)
        torch.nn.init.ones_(transformer.cap_pad_token)
        pipeline = diffusers.ZImageInpaintPipeline(
            transformer=transformer,
            vae=autoencoder_kl(latent_channels=16, shift_factor=0.6, scaling_factor=1.5),
            text_encoder=transformers.Qwen3Model(_qwen3_config(tokenizer, layers=2)),
            tokenizer=tokenizer,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    return _save(pipeline, folder)


def save_flux2_klein(folder: Path) -> Path:
    """A ``Flux2KleinInpaintPipeline``, which AutoPipeline does not map; it reads layers 9, 18 and 27 of its Qwen3."""
    tokenizer = _qwen_tokenizer()
    with _seeded():
        vae = diffusers.AutoencoderKLFlux2(
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=4,
            norm_num_groups=4,
        )
        pipeline = diffusers.Flux2KleinInpaintPipeline(
            transformer=diffusers.Flux2Transformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=48,
                axes_dims_rope=(4, 4, 4, 4),
                guidance_embeds=False,
            ),
            vae=_vivid(vae, vae.decoder.conv_out),
            text_encoder=transformers.Qwen3ForCausalLM(_qwen3_config(tokenizer, layers=27)),
            tokenizer=tokenizer,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        )
    return _save(pipeline, folder)


def save_controlnet(folder: Path, xl: bool = False, random: bool = True) -> Path:
    """A ``ControlNetModel`` for the UNet of ``save_sd_inpaint``; as new, it has no influence at all."""
    changes = {
        "cross_attention_dim": 64,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 32,
    }
    with _seeded():
        net = diffusers.ControlNetModel.from_unet(
            _unet(4, **(changes if xl else {})), conditioning_embedding_out_channels=(8, 16, 16)
        )
        for block in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
            if random:
                torch.nn.init.normal_(block.weight, std=0.5)
    return _save(net, folder)


def save_autoencoder_tiny(folder: Path, **changes: Any) -> Path:
    """An ``AutoencoderTiny``, as ``ModelSpec.vae`` takes it; its encoder draws no random numbers."""
    with _seeded():
        vae = diffusers.AutoencoderTiny(
            **changes,
            encoder_block_out_channels=(8, 8, 8),
            decoder_block_out_channels=(8, 8, 8),
            num_encoder_blocks=(1, 1, 1),
            num_decoder_blocks=(1, 1, 1),
        )
    vae.save_pretrained(folder)
    return folder


def save_autoencoder_asymmetric(folder: Path) -> Path:
    """An ``AsymmetricAutoencoderKL``, whose decoder also takes the known pixels."""
    with _seeded():
        vae = diffusers.AsymmetricAutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            down_block_out_channels=(8, 8, 16),
            up_block_types=("UpDecoderBlock2D",) * 3,
            up_block_out_channels=(8, 8, 16),
            norm_num_groups=4,
            sample_size=SIZE,
        )
    vae.save_pretrained(folder)
    return folder


def save_sd_lora(folder: Path, channels: int = 32, layer: str = "attn2.to_q") -> Path:
    """A LoRA of the SD pipeline's attention; ``channels`` other than 32 fit no layer of it."""
    layer = f"unet.mid_block.attentions.0.transformer_blocks.0.{layer}"
    with _seeded():
        weights = {
            f"{layer}.lora_A.weight": torch.randn(4, channels) * 5,
            f"{layer}.lora_B.weight": torch.randn(channels, 4) * 5,
        }
    diffusers.StableDiffusionInpaintPipeline.save_lora_weights(
        folder, unet_lora_layers={name.removeprefix("unet."): tensor for name, tensor in weights.items()}
    )
    return folder


def save_ip_adapter(folder: Path, xl: bool = False, width: int | None = None) -> Path:
    """An IP-Adapter and its image encoder as ``h94/IP-Adapter`` has them, for the UNets of ``save_sd_inpaint``."""
    text = 64 if xl else 32
    unet = _unet(4, cross_attention_dim=text)
    vision = transformers.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=30,
        patch_size=15,
        projection_dim=8,
    )
    width = width or text
    with _seeded():
        encoder = transformers.CLIPVisionModelWithProjection(vision)
        weights = {
            "image_proj.proj.weight": torch.randn(4 * width, 8),
            "image_proj.proj.bias": torch.randn(4 * width),
            "image_proj.norm.weight": torch.ones(width),
            "image_proj.norm.bias": torch.zeros(width),
        }
        crossed = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        for number, name in enumerate(crossed):
            features = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
            for part in ("to_k_ip", "to_v_ip"):
                # Of the layers before an adapter, every other one reads the text.
                weights[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(features, width)
    place = folder / ("sdxl_models" if xl else "models")
    encoder.save_pretrained(place / "image_encoder")
    safetensors.torch.save_file(weights, place / f"ip-adapter_{'sdxl' if xl else 'sd15'}.safetensors")
    return folder


def save_word(file: Path, vectors: int = 1, width: int = 32, both: bool = False) -> Path:
    """A textual inversion embedding; ``both`` for the two text encoders of SDXL."""
    with _seeded():
        embedding = torch.randn(vectors, width)
    names = ("clip_l", "clip_g") if both else ("<learned>",)
    safetensors.torch.save_file({name: embedding * (number + 1) for number, name in enumerate(names)}, file)
    return file


def safety_checker(flags: bool) -> Any:
    """A real ``StableDiffusionSafetyChecker`` whose thresholds flag everything, or nothing."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 30,
        "patch_size": 15,
    }
    with _seeded():
        checker = StableDiffusionSafetyChecker(transformers.CLIPConfig(vision_config=vision, projection_dim=16))
    # A cosine is never below -2 nor above 2.
    checker.concept_embeds_weights.data.fill_(-2.0 if flags else 2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker


def edit_weights(folder: Path, name: str, edit: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Change one tensor of a saved model."""
    file = folder / "diffusion_pytorch_model.safetensors"
    weights = safetensors.torch.load_file(file)
    weights[name] = edit(weights[name]).contiguous()
    safetensors.torch.save_file(weights, file, metadata={"format": "pt"})


SAVERS: dict[str, Callable[[Path], Path]] = {
    "StableDiffusionInpaintPipeline-9": save_sd_inpaint,
    "StableDiffusionInpaintPipeline-4": lambda folder: save_sd_inpaint(folder, unet_channels=4),
    "StableDiffusionPipeline": save_sd_text2image,
    "StableDiffusionXLInpaintPipeline-9": save_sdxl_inpaint,
    "StableDiffusionXLInpaintPipeline-4": lambda folder: save_sdxl_inpaint(folder, unet_channels=4),
    "StableDiffusion3InpaintPipeline": save_sd3,
    "FluxInpaintPipeline": save_flux,
    "FluxFillPipeline": lambda folder: save_flux(folder, fill=True),
    "Flux2KleinInpaintPipeline": save_flux2_klein,
    "QwenImageInpaintPipeline": save_qwen,
    "ZImageInpaintPipeline": save_z_image,
}


def autoencoder_kl(**changes: Any) -> Any:
    """A small ``AutoencoderKL``: 3 blocks, so 4 pixels a latent cell."""
    defaults = {
        "block_out_channels": (8, 8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": SIZE,
    }
    vae = diffusers.AutoencoderKL(**{**defaults, **changes})
    return _vivid(vae, vae.decoder.conv_out)


def clip_tokenizer() -> Any:
    """A ``CLIPTokenizer`` that knows single characters only."""
    characters = [*string.printable.strip(), *(f"{char}</w>" for char in string.printable.strip())]
    vocabulary = {token: index for index, token in enumerate(characters)}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=MAX_TOKENS)


def _clip_config(tokenizer: Any) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _flux_transformer(channels: int) -> Any:
    return diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=channels,
        out_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )


def _t5_tokenizer() -> Any:
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary += [(char, -3.0) for char in string.printable.strip()]
    return transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)


def _t5_encoder(width: int) -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )


def _qwen_tokenizer() -> Any:
    # Byte-level BPE writes a space as U+0120 and a line feed as U+010A.
    characters = [*string.printable.strip(), "Ġ", "Ċ"]
    vocabulary = {token: index for index, token in enumerate(characters)}
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    for special in specials:
        vocabulary[special] = len(vocabulary)
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[], extra_special_tokens=list(specials[1:]))
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def _qwen3_config(tokenizer: Any, layers: int) -> Any:
    return transformers.Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=len(tokenizer),
        max_position_embeddings=1024,
    )


def _feature_extractor() -> Any:
    return transformers.CLIPImageProcessor(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})


def _unet(channels: int, **changes: Any) -> Any:
    defaults = {
        "sample_size": SIZE // CELL,
        "in_channels": channels,
        "out_channels": 4,
        "block_out_channels": (16, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return diffusers.UNet2DConditionModel(**{**defaults, **changes})


def _ddim() -> Any:
    return diffusers.DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _vivid(vae: Any, last: torch.nn.Module) -> Any:
    """Make an untrained decoder paint with contrast, and the encoder's posterior as narrow as a trained one's."""
    last.weight.data.mul_(2)
    spread = vae.quant_conv.out_channels // 2
    vae.quant_conv.weight.data[spread:] = 0
    vae.quant_conv.bias.data[spread:] = -30
    return vae


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _save(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
