"""Caption files: one line of JSON per tube, made to be read and corrected by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import numpy as np

from .files import atomic_path
from .object_tubes import ObjectTubes
from .text_files import parse_json, read_text

#: The sentences of one tube, in their fixed order (paper, section 3.2): branch 1 learns the first,
#: branch 2 the other three.
SENTENCES = ('action', 'appearance', 'background', 'object')

# JSON's \u escapes may name them one by one, and no encoding knows them so.
_HALF = re.compile('[\ud800-\udfff]')


def write_captions(
    path: str | Path, tubes: ObjectTubes, captions: Sequence[dict[str, str]]
) -> None:
    """Write the sentences of a video's tubes, whole or not at all.

    Args:
        path: A ``.jsonl`` file.
        tubes: The video's tubes; their frames and boxes are noted beside the sentences.
        captions: Per tube, in the tubes' order, the four sentences.

    Raises:
        ValueError: If the captions do not fit the tubes or lack a sentence.
    """
    if len(captions) != len(tubes):
        raise ValueError(f'{path}: {len(tubes)} tubes but {len(captions)} captions')
    with atomic_path(path) as tmp, tmp.open('w', encoding='utf-8') as file:
        for number, (frame, box, caption) in enumerate(
            zip(tubes.frames.tolist(), tubes.boxes.tolist(), captions, strict=True), start=1
        ):
            record = dict(frame=frame, box=[round(value, 1) for value in box])
            record |= _sentences(caption, f'{path}, line {number}')
            file.write(json.dumps(record, ensure_ascii=False) + '\n')


def read_captions(path: str | Path, tubes: ObjectTubes | None = None) -> list[dict[str, str]]:
    """Read what :func:`write_captions` wrote, edited by hand or not.

    Args:
        path: A ``.jsonl`` file.
        tubes: If given, the lines must belong to these tubes: as many, with their frames and boxes.

    Returns:
        Per line, ``{'action', 'appearance', 'background', 'object'}`` to sentence.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is off; the message names the file, the line and the field.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such caption file')
    text = read_text(path)
    # Lines end as text files' do, not at every character that ends one to Unicode: a sentence may
    # hold these.
    lines = text.removesuffix('\n').split('\n') if text else []
    if tubes is not None and len(lines) != len(tubes):
        raise ValueError(
            f'{path}: expected a line for each of {len(tubes)} tubes, got {len(lines)}'
        )
    captions = []
    for number, line in enumerate(lines, start=1):
        where = f'{path}, line {number}'
        record = parse_json(line, where)
        if not isinstance(record, dict):
            raise ValueError(f'{where}: expected a JSON object, got {type(record).__name__}')
        if tubes is not None:
            _check_tube(record, int(tubes.frames[number - 1]), tubes.boxes[number - 1], where)
        captions.append(_sentences(record, where))
    return captions


def _check_tube(record: dict[str, Any], frame: int, box: np.ndarray, where: str) -> None:
    if record.get('frame') != frame:
        raise ValueError(f'{where}: frame: expected {frame}, got {brief(record.get("frame"))}')
    try:
        stored = np.asarray(record.get('box'), dtype=float)
        matches = stored.shape == (4,) and bool((np.abs(stored - box) <= 0.06).all())
    except (TypeError, ValueError, OverflowError):
        matches = False
    if not matches:
        expected = [round(value, 1) for value in box.tolist()]
        raise ValueError(f'{where}: box: expected {expected}, got {brief(record.get("box"))}')


def _sentences(record: dict[str, Any], where: str) -> dict[str, str]:
    for key in SENTENCES:
        if key not in record:
            raise ValueError(f'{where}: {key}: missing')
        if not isinstance(record[key], str) or not record[key].strip():
            raise ValueError(f'{where}: {key}: expected a sentence, got {brief(record[key])}')
        if half := _HALF.search(record[key]):
            raise ValueError(
                f'{where}: {key}: expected text, got half a character ({ascii(half[0])})'
            )
    return {key: record[key] for key in SENTENCES}
