"""Sentences from a pre-trained CLIP model (paper, section 3.2).

Shape letters: N objects of a frame, M candidate sentences, D dimension of the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.device import get_device
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from mmvad.registry import CAPTIONERS
from mmvad.structures import SENTENCES, FrameObjects

from .base import BaseCaptioner
from .clip_weights import load_clip
from .sentence_cache import default_folder, kept_embeddings, text_digest
from .templates import TEMPLATES, VOCABULARY, check_templates, field, fill, read_vocabulary


@CAPTIONERS.register_module()
class CLIPCaptioner(BaseCaptioner):
    """Fill each template with the word whose sentence is most similar to the object's image.

    A word is embedded inside its template, so that CLIP sees what the word means there. The prompts
    of each kind of subject tell first whether the object is a person or a thing; it then gets the
    templates and words of its kind.

    Args:
        model: Model name of open_clip, such as ``'ViT-B-16'``. Weights trained with QuickGELU (the
            first CLIP release) need the name that says so, ``'ViT-B-16-quickgelu'``. Or a model
            with its weights: ``'hf-hub:<organisation>/<repository>'``, ``'local-dir:<folder>'``.
        pretrained: Weights: a local file, of open_clip or of OpenAI (TorchScript), or a tag that
            open_clip knows and downloads; None with a model that has its own.
        vocabulary: Vocabulary name to text file; adds to the shipped ones or replaces them.
        templates: Kind of subject to ``prompts`` (any number) and the four sentence templates;
            default :data:`~mmvad.captions.templates.TEMPLATES`.
        device: Default: the GPU if there is one.
        batch_size: Crops or sentences in one forward pass; crops of several frames go together.
        precision: ``'fp32'``, or ``'fp16'`` or ``'bf16'``, which a GPU computes faster.
        cache_dir: Where embeddings of sentences are kept, by a hash of sentences, model and
            weights; default: ``mmvad/sentences`` of the user's cache folder.

    Raises:
        FileNotFoundError: If a vocabulary file or a model's folder is missing.
        OSError: If weights cannot be downloaded.
        ValueError: If there are no weights, they cannot be read safely or do not fit the model, or
            a template is off.
        ImportError: If open_clip is not installed.
    """

    speed_only = ('device', 'cache_dir')
    file_arguments = ('model', 'pretrained', 'vocabulary')

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        vocabulary: Mapping[str, str | Path] | None = None,
        templates: Mapping[str, Mapping[str, str | Sequence[str]]] | None = None,
        device: str | None = None,
        batch_size: int = 256,
        precision: str = 'fp32',
        cache_dir: str | Path | None = None,
    ) -> None:
        self.sentences = _sentences(templates or TEMPLATES, vocabulary or {})
        self.device = torch.device(device or get_device())
        if not (isinstance(batch_size, int) and batch_size >= 1):
            raise ValueError(
                f'CLIPCaptioner.batch_size: expected a whole number >= 1, got {batch_size!r}'
            )
        self.batch_size = batch_size
        parts = load_clip(model, pretrained, self.device, precision)
        self._clip, self._preprocess = parts.model, parts.preprocess
        self._dtype = dict(fp16=torch.float16, bf16=torch.bfloat16).get(precision, torch.float32)
        # Kinds of subjects share sentences.
        texts = sorted(
            {t for groups in self.sentences.values() for g in groups.values() for t in g}
        )
        tokens = parts.tokenizer(texts)
        embeddings = kept_embeddings(
            default_folder() if cache_dir is None else Path(cache_dir),
            text_digest(self._clip, parts.config, precision, tokens),
            len(texts),
            lambda: self._embed(self._clip.encode_text, tokens),
        ).to(self.device)
        rows = {text: row for row, text in enumerate(texts)}
        self._embeddings = {
            kind: {key: embeddings[[rows[text] for text in group]] for key, group in groups.items()}
            for kind, groups in self.sentences.items()
        }

    @torch.inference_mode()
    def _embed(self, encode: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """(n, D) float32 embeddings of unit length."""
        batches = inputs.split(self.batch_size)
        made = [encode(batch.to(self.device)).float() for batch in batches]
        return normalize(torch.cat(made), dim=-1)

    def crops(self, sample: FrameObjects) -> list[Tensor]:
        """The objects' crops of the last frame, (3, H, W) each, as the model takes them."""
        frame = cv2.cvtColor(sample.frames[-1], cv2.COLOR_BGR2RGB)
        height, width = frame.shape[:2]
        crops = []
        for x1, y1, x2, y2 in np.asarray(sample.boxes).round().astype(int).tolist():
            x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
            crop = frame[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
            crops.append(self._preprocess(Image.fromarray(crop)))
        return crops

    def embed_crops(self, crops: Sequence[Tensor]) -> Tensor:
        """(N, D) float32 embeddings of unit length of N >= 1 crops."""
        return self._embed(self._clip.encode_image, torch.stack(list(crops)).to(self._dtype))

    def caption(self, sample: FrameObjects) -> list[dict[str, str]]:
        return next(self.captions([sample]))

    def captions(self, samples: Iterable[FrameObjects]) -> Iterator[list[dict[str, str]]]:
        waiting: list[int] = []
        crops: list[Tensor] = []
        for sample in samples:
            waiting.append(len(sample))
            crops += self.crops(sample) if len(sample) else []
            if len(crops) >= self.batch_size:
                yield from self._described(crops, waiting)
                waiting, crops = [], []
        yield from self._described(crops, waiting)

    def _described(
        self, crops: Sequence[Tensor], counts: Sequence[int]
    ) -> Iterator[list[dict[str, str]]]:
        """The sentences of so many crops a frame, frame by frame."""
        found = self._sentences_of(crops) if crops else []
        start = 0
        for count in counts:
            yield found[start : start + count]
            start += count

    def _sentences_of(self, crops: Sequence[Tensor]) -> list[dict[str, str]]:
        images = self.embed_crops(crops)
        # {kind: {key: (N, M) cosine similarities}}
        similar = {
            kind: {key: images @ texts.T for key, texts in groups.items()}
            for kind, groups in self._embeddings.items()
        }
        kinds = list(similar)
        prompts = torch.stack([similar[kind]['prompts'].amax(dim=1) for kind in kinds])
        chosen = [kinds[index] for index in prompts.argmax(dim=0).tolist()]
        best = {
            kind: {key: groups[key].argmax(dim=1).tolist() for key in SENTENCES}
            for kind, groups in similar.items()
        }
        return [
            {key: self.sentences[kind][key][best[kind][key][row]] for key in SENTENCES}
            for row, kind in enumerate(chosen)
        ]


def _sentences(
    templates: Mapping[str, Mapping[str, str | Sequence[str]]],
    vocabulary: Mapping[str, str | Path],
) -> dict[str, dict[str, tuple[str, ...]]]:
    """All candidate sentences: kind to key, and ``'prompts'``, to texts."""
    files = VOCABULARY | dict(vocabulary)
    sentences = {}
    for kind, groups in templates.items():
        prompts = groups.get('prompts', ())
        if isinstance(prompts, str) or not len(prompts):
            raise ValueError(f'templates.{kind}.prompts: expected a list of texts, got {prompts!r}')
        sentences[kind] = {'prompts': tuple(prompts)}
        for key, template in check_templates(groups).items():
            name = field(template)
            if name not in files:
                raise ValueError(
                    f'templates.{kind}.{key}: no vocabulary {name!r}; there are {", ".join(files)}'
                )
            words = read_vocabulary(files[name])
            sentences[kind][key] = tuple(fill(template, word) for word in words)
    return sentences
