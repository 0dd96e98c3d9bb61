"""Sentences from a pre-trained CLIP model (paper, section 3.2).

Shape letters: N objects of a frame, M candidate sentences, D dimension of the embeddings.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
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
from .templates import TEMPLATES, VOCABULARY, check_templates, field, fill, read_vocabulary


@CAPTIONERS.register_module()
class CLIPCaptioner(BaseCaptioner):
    """Fill each template with the word whose sentence is most similar to the object's image.

    A word is embedded inside its template, so that CLIP sees what the word means there. The prompts
    of each kind of subject tell first whether the object is a person or a thing; it then gets the
    templates and words of its kind.

    Args:
        model: Model name of open_clip, such as ``'ViT-B-16'``. Weights trained with QuickGELU (the
            first CLIP release) need the name that says so, ``'ViT-B-16-quickgelu'``.
        pretrained: Weights: a local file, or a tag that open_clip knows and downloads.
        vocabulary: Vocabulary name to text file; adds to the shipped ones or replaces them.
        templates: Kind of subject to ``prompts`` (any number) and the four sentence templates;
            default :data:`~mmvad.captions.templates.TEMPLATES`.
        device: Default: the GPU if there is one.
        batch_size: Crops or sentences in one forward pass.

    Raises:
        FileNotFoundError: If a vocabulary file is missing.
        ValueError: If there are no weights, the weights do not fit the model, or a template is off.
        ImportError: If open_clip is not installed.
    """

    speed_only = ('device',)
    file_arguments = ('pretrained', 'vocabulary')

    def __init__(
        self,
        model: str,
        pretrained: str,
        vocabulary: Mapping[str, str | Path] | None = None,
        templates: Mapping[str, Mapping[str, str | Sequence[str]]] | None = None,
        device: str | None = None,
        batch_size: int = 256,
    ) -> None:
        self.sentences = _sentences(templates or TEMPLATES, vocabulary or {})
        self.device = torch.device(device or get_device())
        self.batch_size = batch_size
        self._clip, self._preprocess, tokenizer = _load(model, pretrained, self.device)
        self._embeddings = {
            kind: {key: self._embed_texts(tokenizer, texts) for key, texts in groups.items()}
            for kind, groups in self.sentences.items()
        }

    @torch.inference_mode()
    def _embed_texts(self, tokenizer, texts: Sequence[str]) -> Tensor:
        """(M, D) embeddings of unit length."""
        batches = tokenizer(list(texts)).to(self.device).split(self.batch_size)
        return normalize(torch.cat([self._clip.encode_text(batch) for batch in batches]), dim=-1)

    @torch.inference_mode()
    def embed_crops(self, sample: FrameObjects) -> Tensor:
        """(N, D) embeddings of unit length of the objects' crops in the last frame."""
        frame = cv2.cvtColor(sample.frames[-1], cv2.COLOR_BGR2RGB)
        height, width = frame.shape[:2]
        crops = []
        for x1, y1, x2, y2 in np.asarray(sample.boxes).round().astype(int).tolist():
            x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
            crop = frame[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
            crops.append(self._preprocess(Image.fromarray(crop)))
        batches = torch.stack(crops).split(self.batch_size)
        images = [self._clip.encode_image(batch.to(self.device)) for batch in batches]
        return normalize(torch.cat(images), dim=-1)

    def caption(self, sample: FrameObjects) -> list[dict[str, str]]:
        if not len(sample):
            return []
        images = self.embed_crops(sample)
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


def _load(model: str, pretrained: str, device: torch.device):
    """The open_clip model in evaluation mode, its image transform and its tokenizer."""
    try:
        import open_clip
    except ImportError as error:
        raise ImportError('CLIPCaptioner needs open_clip: pip install open_clip_torch') from error
    if model not in open_clip.list_models():
        raise ValueError(
            f'CLIPCaptioner.model: open_clip has no {model!r}; see open_clip.list_models()'
        )
    # Never without weights: a random CLIP would give nonsense that looks like captions.
    if not pretrained or not (
        Path(pretrained).is_file() or open_clip.get_pretrained_cfg(model, pretrained)
    ):
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ValueError(
            f'CLIPCaptioner.pretrained: expected a file of weights for {model} or one of the tags '
            f'{tags}, got {pretrained!r}'
        )
    try:
        clip, preprocess = open_clip.create_model_from_pretrained(
            model, pretrained, device=device, weights_only=True
        )
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f'CLIPCaptioner.pretrained: {pretrained!r} does not load into {model}; a file has to '
            'be a state dict of open_clip saved with torch.save or safetensors (a TorchScript '
            f'archive is not, its state_dict() is): {error}'
        ) from error
    return clip.eval(), preprocess, open_clip.get_tokenizer(model)
