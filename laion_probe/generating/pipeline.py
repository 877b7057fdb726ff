"""A diffusers pipeline that draws pictures, each from a seed of its own, and what it is made of.

Weights are read from safetensors alone and no code of a model's repository is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laion_probe import __version__
from laion_probe.config.generating import GenerateConfig
from laion_probe.embed.model import resolve_device, resolve_precision
from laion_probe.errors import ConfigError, MissingExtra, UnknownName
from laion_probe.generating.plan import Planned

if TYPE_CHECKING:
    import torch

__all__ = ["Drawn", "Pipeline", "load_pipeline"]

Floats = NDArray[np.float32]

_ENDING = "Scheduler"
_PACKAGES = ("diffusers", "transformers", "torch")


@dataclass(frozen=True)
class Drawn:
    """A picture. ``blocked`` is what the safety checker said, None where it was not asked."""

    picture: Image.Image
    blocked: bool | None


@dataclass(frozen=True)
class Pipeline:
    """A loaded model with what it is asked for.

    ``key`` says what decides a picture beside its prompt and seed, as JSON holds it; ``run`` what
    does not, but may change its last bits: device, batch size and versions.
    """

    pipe: Any  # diffusers' pipelines share no type with what they are called by
    key: Mapping[str, Any]
    run: Mapping[str, Any]
    arguments: Mapping[str, Any]
    blacken: bool
    checker: Any = None
    _known_cut: dict[str, bool] = field(default_factory=dict, repr=False)

    def draw(self, wanted: Sequence[Planned]) -> list[Drawn]:
        """The pictures, in order. What stands beside a picture in a batch does not change it.

        Noise is drawn on the CPU, so that a seed begins with the same one on every device. Raises
        `ConfigError` where memory is short, or the arithmetic is too coarse for the model.
        """
        import torch

        given = {
            "prompt": [p.prompt.text for p in wanted],
            "generator": [torch.Generator("cpu").manual_seed(p.seed) for p in wanted],
            **self.arguments,
        }
        if "negative_prompt" in given:
            given["negative_prompt"] = [given["negative_prompt"]] * len(wanted)
        try:
            with torch.inference_mode(), _quiet():
                found = np.asarray(self.pipe(**given).images, np.float32)
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"no memory for {len(wanted)} pictures at once: give a smaller --batch-size, and "
                "run again: finished parts are kept"
            ) from error
        except ValueError as error:  # what pipelines say of their arguments
            raise ConfigError(
                f"{self.key['pipeline']} with {self.key['scheduler']} cannot draw this: "
                f"{_reason(error)}; another --steps or --scheduler, or a size that is a multiple "
                "of 64, may do"
            ) from error
        if not np.isfinite(found).all():
            raise ConfigError(
                f"pictures hold no numbers in {self.key['precision']}: give --precision fp32"
            )
        pictures = [Image.fromarray((x * 255).round().astype(np.uint8)) for x in found]
        blocked = self._blocked(pictures, found)
        return [
            Drawn(Image.new("RGB", p.size) if b and self.blacken else p, b)
            for p, b in zip(pictures, blocked, strict=True)
        ]

    def cut(self, text: str) -> bool:
        """Whether the text encoder reads the prompt's beginning only."""
        tokenizer = getattr(self.pipe, "tokenizer", None)
        if tokenizer is None:
            return False
        if text not in self._known_cut:
            n = len(tokenizer(text, truncation=False, verbose=False).input_ids)
            self._known_cut[text] = n > tokenizer.model_max_length
        return self._known_cut[text]

    def _blocked(self, pictures: list[Image.Image], found: Floats) -> list[bool] | list[None]:
        """What the checker says of each, asked as Stable Diffusion's pipeline asks it."""
        import torch

        if self.checker is None:
            return [None] * len(pictures)
        with torch.inference_mode(), _quiet():
            seen = self.pipe.feature_extractor(pictures, return_tensors="pt").pixel_values
            where = next(self.checker.parameters())
            # It blackens the array that it is given.
            _, said = self.checker(
                images=found.copy(), clip_input=seen.to(where.device, where.dtype)
            )
        return [bool(x) for x in said]


def load_pipeline(config: GenerateConfig) -> Pipeline:
    """Load the model, with another scheduler where one is asked for.

    Raises `MissingExtra` without diffusers, `UnknownName` for a scheduler that it does not know,
    and `ConfigError` where the model cannot be loaded or does not take what is asked.
    """
    try:
        import diffusers
        import torch
        import transformers  # noqa: F401  # it holds the text encoders
    except ImportError as error:
        raise MissingExtra(
            f"generating needs {error.name or 'diffusers'}, which is not installed: "
            "pip install 'laion-probe[generate]'"
        ) from None
    if config.scheduler is not None:  # a slip of the pen is said before anything is downloaded
        _scheduler_named(config.scheduler, [n for n in dir(diffusers) if n.endswith(_ENDING)])
    device = resolve_device(config.device)
    precision = resolve_precision(config.precision, device)
    folder, revision = _folder(config)
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            pipe: Any = diffusers.DiffusionPipeline.from_pretrained(  # type: ignore[no-untyped-call]
                str(folder), variant=config.variant, use_safetensors=True, local_files_only=True
            )
    except Exception as error:  # diffusers and transformers raise many kinds; the cause is kept
        raise ConfigError(
            f"model {config.model} could not be loaded: {_reason(error)}; give a folder that "
            "diffusers saved, with weights in safetensors"
        ) from error
    _set_scheduler(pipe, config.scheduler)
    checker = _taken_checker(pipe, config)
    arguments = _arguments(pipe, config)
    key = {
        "model": folder.name if Path(config.model).is_dir() else config.model,
        "revision": revision,
        "variant": config.variant or "",
        "weights_sha256": _weights_hash(
            {n: c for n, c in pipe.components.items() if isinstance(c, torch.nn.Module)}
        ),
        "pipeline": type(pipe).__name__,
        "scheduler": type(pipe.scheduler).__name__,
        "scheduler_config": json.dumps(_settings(pipe.scheduler.config), sort_keys=True),
        "steps": config.steps,
        "guidance": config.guidance,
        "negative_prompt": config.negative_prompt,
        "height": config.height,
        "width": config.width,
        "safety": config.safety,
        "safety_checker_sha256": "" if checker is None else _weights_hash({"": checker}),
        "precision": precision,
    }
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    with _quiet():
        pipe.to(device, kind)
        pipe.set_progress_bar_config(disable=True)
    versions = {name: metadata.version(name) for name in _PACKAGES}
    run = {"device": device, "batch_size": config.batch_size, "laion_probe": __version__} | versions
    if checker is not None:
        checker = checker.to(device, kind)
    return Pipeline(pipe, key, run, arguments, config.safety == "on", checker)


def _folder(config: GenerateConfig) -> tuple[Path, str]:
    """The folder of the model, downloaded where it is a name, and the commit that it is of."""
    import diffusers

    folder = Path(config.model.removeprefix("local-dir:"))
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ConfigError(
                f"model {folder}: no model_index.json in it; give the folder of a pipeline that "
                "diffusers saved"
            )
        if config.revision is not None:
            raise ConfigError(f"--revision is of a model on the hub, and {folder} is a folder")
        return folder.resolve(), ""
    if folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", config.model):
        raise ConfigError(
            f"model {config.model} is neither a folder that diffusers saved nor a name on the "
            "hub, such as OWNER/NAME"
        )
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            found = diffusers.DiffusionPipeline.download(
                config.model,
                revision=config.revision,
                variant=config.variant,
                use_safetensors=True,
            )
    except Exception as error:  # the hub raises many kinds; the cause is kept
        raise ConfigError(
            f"model {config.model} could not be downloaded: {_reason(error)}; check the name and "
            "the network, or give a folder that diffusers saved"
        ) from error
    return Path(found), Path(found).name  # the hub's cache names folders by commit


def _scheduler_named(name: str, known: Sequence[str]) -> str:
    """The class of that name, whatever its case and with or without the ending."""
    plain = {n.removesuffix(_ENDING): n for n in known}
    wanted = re.sub(r"[\W_]", "", name).lower().removesuffix(_ENDING.lower())
    for short, whole in plain.items():
        if short.lower() == wanted:
            return whole
    raise UnknownName("scheduler", name, plain)


def _set_scheduler(pipe: Any, name: str | None) -> None:
    if name is None:
        return
    fits = {c.__name__: c for c in (*pipe.scheduler.compatibles, type(pipe.scheduler))}
    chosen = fits[_scheduler_named(name, list(fits))]
    try:
        with _quiet():
            pipe.scheduler = chosen.from_config(pipe.scheduler.config)
    except (ImportError, ValueError, TypeError) as error:
        raise ConfigError(f"scheduler {name}: {_reason(error)}; give another one") from error


def _taken_checker(pipe: Any, config: GenerateConfig) -> Any:
    """The safety checker, out of the pipeline, which would blacken what it blocks; or None."""
    checker = getattr(pipe, "safety_checker", None)
    if checker is not None:
        pipe.safety_checker = None
    if config.safety == "off":
        return None
    known = type(checker).__name__ == "StableDiffusionSafetyChecker"
    if checker is None or not known or pipe.feature_extractor is None:
        raise ConfigError(
            f"model {config.model} has no safety checker that can be asked: give --safety off"
        )
    return checker.eval()


def _arguments(pipe: Any, config: GenerateConfig) -> dict[str, Any]:
    """What the pipeline is called with, beside prompts and seeds."""
    given = {
        "num_inference_steps": config.steps,
        "guidance_scale": config.guidance,
        "negative_prompt": config.negative_prompt or None,
        "height": config.height,
        "width": config.width,
    }
    given = {name: value for name, value in given.items() if value is not None}
    takes = inspect.signature(pipe.__call__).parameters
    for name in ("prompt", "generator", "output_type", *given):
        if name not in takes:
            raise ConfigError(
                f"model {config.model}: {type(pipe).__name__} takes no {name}, which is needed "
                "here; give a pipeline that draws from text"
            )
    return {**given, "output_type": "np"}


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A scheduler's own settings, without notes of where they came from."""
    return {k: v for k, v in config.items() if not k.startswith("_")}


def _weights_hash(parts: Mapping[str, torch.nn.Module]) -> str:
    """A digest of all weights as they were loaded, in fp32."""
    digest = hashlib.sha256()
    for part, net in sorted(parts.items()):
        for name, tensor in sorted(net.state_dict().items()):
            digest.update(f"{part}.{name}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither progress bars nor notes of upstream: what matters is said by us, once."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    both = (of_diffusers, of_transformers)
    before = [(log, log.get_verbosity(), log.is_progress_bar_enabled()) for log in both]
    for log in both:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # upstream's words to its own callers
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for log, level, bars in before:
            log.set_verbosity(level)
            if bars:
                log.enable_progress_bar()
