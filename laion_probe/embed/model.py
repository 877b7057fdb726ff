"""An open_clip model on a device, and the key that ties vectors to it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laion_probe.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    import torch

__all__ = ["Embedder", "load_embedder", "resolve_device", "resolve_precision", "unit_length"]

Floats = NDArray[np.float32]

_FEW_PROMPTS = 32  # an attribute asks for the same few again and again


@dataclass(frozen=True)
class Embedder:
    """A loaded open_clip model with its tokenizer, preprocessing and key.

    Precision below fp32 is by autocast: the weights stay as they are, whatever the architecture.
    """

    model: torch.nn.Module
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenizer: Callable[[Sequence[str]], torch.Tensor]
    key: dict[str, str]
    device: str = "cpu"
    _known: dict[tuple[str, ...], Floats] = field(default_factory=dict, repr=False)

    @property
    def logit_scale(self) -> float:
        """The learnt inverse temperature."""
        return float(self.model.logit_scale.exp().item())  # type: ignore[operator]

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self.texts([""]).shape[1])

    def texts(self, prompts: Sequence[str]) -> Floats:
        """Unit-length vectors, shape (len(prompts), d). A few prompts are encoded once."""
        asked = tuple(prompts)
        if asked in self._known:
            return self._known[asked]
        vectors = self.captions(asked)
        if len(asked) <= _FEW_PROMPTS:
            vectors.setflags(write=False)
            self._known[asked] = vectors
        return vectors

    def captions(self, texts: Sequence[str]) -> Floats:
        """As `texts`, for texts that do not come again."""
        tokens = self.tokenizer(list(texts)).to(self.device)
        with self._arithmetic():
            out = self.model.encode_text(tokens)  # type: ignore[operator]
        return unit_length(out.float().cpu().numpy())

    def images(self, pictures: Sequence[Image.Image] | torch.Tensor) -> Floats:
        """Unit-length vectors, shape (len(pictures), d).

        A tensor holds pictures that are preprocessed already, (n, 3, height, width).
        """
        import torch

        if not isinstance(pictures, torch.Tensor):
            pictures = torch.stack([self.preprocess(p) for p in pictures])
        with self._arithmetic():
            out = self.model.encode_image(pictures.to(self.device))  # type: ignore[operator]
        return unit_length(out.float().cpu().numpy())

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        import torch

        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.key["precision"])
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if kind is not None:
                stack.enter_context(torch.autocast(torch.device(self.device).type, kind))
            yield


def resolve_device(device: str) -> str:
    """The device that "auto" means here, or the one that is named, as torch knows it.

    >>> resolve_device("cpu")
    'cpu'
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {device} cannot be used: {reason}; give cpu, or auto") from error
    return device


def resolve_precision(precision: str, device: str) -> str:
    """The precision that "auto" means on a device: bf16 on a GPU that computes in it, else fp32.

    A CPU stays at fp32 even where it has bf16: that is the reference.

    >>> resolve_precision("auto", "cpu")
    'fp32'
    """
    if precision != "auto":
        return precision
    import torch

    return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"


def load_embedder(
    model: str, pretrained: str | None, device: str = "cpu", precision: str = "fp32"
) -> Embedder:
    """Load a model through open_clip's own functions.

    ``model`` is an open_clip name ("ViT-B-32", with a ``pretrained`` tag or checkpoint file),
    "hf-hub:org/name" or "local-dir:folder". Raises `UnknownName` for a name or tag that open_clip
    does not know (naming the nearest) and `ConfigError` when weights cannot be loaded, or the
    device is not there. The key's hash is of the weights as they were loaded, in fp32.
    """
    _check_names(model, pretrained)
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    import open_clip

    tokenizer_options: dict[str, Any] = {}
    if model.startswith("local-dir:"):
        tokenizer_options = _local_tokenizer(Path(model.removeprefix("local-dir:")))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net, _, preprocess = open_clip.create_model_and_transforms(model, pretrained=pretrained)
            tokenizer = open_clip.get_tokenizer(model, **tokenizer_options)
    except Exception as error:  # open_clip and the hub raise many kinds; the cause is kept
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"model {model} ({pretrained or 'no tag'}) could not be loaded: {reason}; check the "
            "network, or give local-dir:FOLDER with open_clip_config.json and the weights"
        ) from error
    net.eval()
    key = {
        "model": Path(model.removeprefix("local-dir:")).name if ":" in model else model,
        "pretrained": Path(pretrained).name if pretrained else "",
        "weights_sha256": _weights_hash(net),
        "preprocess": hashlib.sha256(str(preprocess).encode()).hexdigest()[:16],
        "precision": precision,
    }
    return Embedder(net.to(device), preprocess, tokenizer, key, device)


def _check_names(model: str, pretrained: str | None) -> None:
    if model.startswith("local-dir:"):
        folder = Path(model.removeprefix("local-dir:"))
        if not (folder / "open_clip_config.json").is_file():
            raise ConfigError(
                f"model {model}: no open_clip_config.json in {folder}; give the folder of an "
                "open_clip checkpoint"
            )
        return
    if ":" in model:
        return
    import open_clip

    if model not in open_clip.list_models():
        raise UnknownName("model", model, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained is None:
        raise ConfigError(
            f"model {model} needs weights: give --pretrained with a checkpoint file or one of "
            f"{', '.join(tags[:8]) or 'none known'}"
        )
    if not Path(pretrained).exists() and pretrained not in tags:
        raise UnknownName(f"weights tag of {model}", pretrained, tags)


def _local_tokenizer(folder: Path) -> dict[str, Any]:
    """open_clip takes the merges file from the working directory; resolve it beside the config."""
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    options = config.get("model_cfg", {}).get("text_cfg", {}).get("tokenizer_kwargs", {})
    path = options.get("bpe_path")
    return {"bpe_path": str((folder / path).resolve())} if path else {}


def _weights_hash(net: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def unit_length(vectors: NDArray[Any]) -> Floats:
    """Rows of length 1, in float32; rows of zeros stay."""
    v = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(v, axis=1, keepdims=True)
    return np.asarray(v / np.where(norms > 0, norms, 1), dtype=np.float32)
