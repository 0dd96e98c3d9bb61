"""Sentences that describe objects, for image-text alignment."""

from .attribute_captioner import AttributeCaptioner
from .base import BaseCaptioner
from .clip_captioner import CLIPCaptioner
from .templates import TEMPLATES, VOCABULARY, read_vocabulary

__all__ = [
    'TEMPLATES',
    'VOCABULARY',
    'AttributeCaptioner',
    'BaseCaptioner',
    'CLIPCaptioner',
    'read_vocabulary',
]
