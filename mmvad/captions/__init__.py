"""Sentences that describe objects, for image-text alignment."""

from .attribute_captioner import AttributeCaptioner
from .attributes import ATTRIBUTES, AttributeMeter
from .base import SENTENCES, BaseCaptioner, FrameObjects
from .caption_file import read_captions, write_captions
from .clip_captioner import CLIPCaptioner
from .flow import FrameFlow
from .templates import TEMPLATES, VOCABULARY, read_vocabulary
from .tokenizer import ClipTokenizer

__all__ = [
    'ATTRIBUTES',
    'SENTENCES',
    'TEMPLATES',
    'VOCABULARY',
    'AttributeCaptioner',
    'AttributeMeter',
    'BaseCaptioner',
    'CLIPCaptioner',
    'ClipTokenizer',
    'FrameFlow',
    'FrameObjects',
    'read_captions',
    'read_vocabulary',
    'write_captions',
]
