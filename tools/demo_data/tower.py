"""The demo encoder: its configuration, and how it is saved and loaded as open_clip does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file

from tools.demo_data import bpe

IMAGE_SIZE = 64
CONTEXT = 32
MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)
BPE_FILE = "laion_probe_demo_bpe.txt.gz"
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"


@dataclass(frozen=True)
class TowerSize:
    """What may be varied to trade size for accuracy."""

    image_tower: str = "test_resnet"
    embed_dim: int = 192
    text_width: int = 128
    text_layers: int = 3
    n_merges: int = 3000


def config(size: TowerSize, n_merges: int) -> dict[str, Any]:
    """The content of open_clip_config.json; `bpe_path` is the bare file name."""
    return {
        "model_cfg": {
            "embed_dim": size.embed_dim,
            "vision_cfg": {
                "timm_model_name": size.image_tower,
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "linear",
                "image_size": IMAGE_SIZE,
            },
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": n_merges + bpe.N_EXTRA,
                "width": size.text_width,
                "heads": 4,
                "layers": size.text_layers,
                "tokenizer_kwargs": {"bpe_path": BPE_FILE},
            },
        },
        "preprocess_cfg": {
            "mean": list(MEAN),
            "std": list(STD),
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def build(size: TowerSize, n_merges: int) -> CLIP:
    model_cfg = dict(config(size, n_merges)["model_cfg"])
    return CLIP(**model_cfg)


def save(model: CLIP, size: TowerSize, n_merges: int, folder: Path) -> None:
    """Weights in half precision; integer buffers keep their type."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config(size, n_merges), indent=2) + "\n"
    (folder / CONFIG_FILE).write_text(text, "utf-8")
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
        if name != "attn_mask"
    }
    save_file(state, str(folder / WEIGHTS_FILE), metadata={"format": "pt"})


def tokenizer(folder: Path) -> SimpleTokenizer:
    """open_clip's own tokenizer, its BPE path taken from the checkpoint's folder."""
    return open_clip.get_tokenizer(
        f"local-dir:{folder.resolve()}", bpe_path=str((folder / BPE_FILE).resolve())
    )


def load(folder: Path) -> tuple[CLIP, Any, SimpleTokenizer]:
    """Model, preprocessing and tokenizer, through open_clip's own functions."""
    model, _, preprocess = open_clip.create_model_and_transforms(
        f"local-dir:{folder.resolve()}", precision="fp32"
    )
    model.eval()
    return model, preprocess, tokenizer(folder)


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # Filling fresh memory costs time and protects nothing here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
