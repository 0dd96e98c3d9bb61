"""Sentence templates and the words that fill them (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from mmvad.structures import SENTENCES
from mmvad.structures.text_files import read_text

#: Shipped vocabularies by the name that templates use.
VOCABULARY = {
    name: Path(__file__).parent / 'vocabulary' / f'{name}.txt'
    for name in ('actions', 'motions', 'clothes', 'looks', 'places', 'objects')
}

#: For each kind of subject, how it is recognised and its four sentences. The field of a sentence
#: names the vocabulary it is filled from, so that what is not a person has verbs of its own.
TEMPLATES: dict[str, dict[str, str | tuple[str, ...]]] = {
    'person': {
        'prompts': (
            'a photo of a person',
            'a photo of a man',
            'a photo of a woman',
            'a photo of people walking',
            'a photo of a person riding',
        ),
        'action': 'A man is {actions}',
        'appearance': 'A man is in {clothes}',
        'background': 'A man is in {places}',
        'object': 'There is {objects}',
    },
    'thing': {
        'prompts': (
            'a photo of a car',
            'a photo of a truck',
            'a photo of an animal',
            'a photo of a thing on the ground',
            'a photo of an empty place',
        ),
        'action': 'Something is {motions}',
        'appearance': 'Something is {looks}',
        'background': 'Something is in {places}',
        'object': 'There is {objects}',
    },
}


def read_vocabulary(path: str | Path) -> tuple[str, ...]:
    """The words or phrases of a text file: one a line, ``#`` starts a comment.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a word stands twice or the file holds none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such vocabulary file')
    lines = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        word = ' '.join(line.partition('#')[0].split())
        if not word:
            continue
        if word in lines:
            raise ValueError(f'{path}, line {number}: {word!r} stands in line {lines[word]} too')
        lines[word] = number
    if not lines:
        raise ValueError(f'{path}: expected a word a line, found none')
    return tuple(lines)


def field(template: str) -> str:
    """The name of the one field of a template: ``'A man is {actions}'`` gives ``'actions'``."""
    names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    if len(names) != 1 or not names[0].isidentifier():
        raise ValueError(f'template {template!r}: expected exactly one {{name}} in it, got {names}')
    return names[0]


def fill(template: str, word: str) -> str:
    """Put a word or phrase into the one field of a template."""
    return template.format(**{field(template): word})


def check_templates(templates: Mapping[str, str]) -> dict[str, str]:
    """The four sentence templates of one subject, checked: all there, one field each."""
    missing = [key for key in SENTENCES if key not in templates]
    if missing:
        raise ValueError(f'templates: no sentence for {", ".join(missing)}')
    for key in SENTENCES:
        field(templates[key])
    return {key: templates[key] for key in SENTENCES}
