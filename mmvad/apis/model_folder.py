"""Where the models of one's own cameras lie, and from which score on they raise an alarm."""

from __future__ import annotations

from pathlib import Path

from mmvad.evaluation.functional import ScorePolicy
from mmvad.methods.objects.alarms import normal_threshold
from mmvad.methods.objects.model_file import normal_scores_of
from mmvad.models import ObjectVAD

#: Folder of the models, as of all runs.
MODELS_ROOT = 'work_dirs'


def model_folder(name: str, root: str | Path = MODELS_ROOT) -> Path:
    """The folder of a model.

    Args:
        name: Of the model.
        root: Folder of all.

    Raises:
        ValueError: If the name leads somewhere else.
    """
    if not name or name in ('.', '..') or Path(name).name != name or name.startswith('-'):
        raise ValueError(f'name: expected the name of one folder, such as yard, got {name!r}')
    return Path(root) / name


def find_model_file(model: str | Path, root: str | Path = MODELS_ROOT) -> Path:
    """The complete model file that a name, a folder or a path means.

    Args:
        model: A ``.pth`` file, the work dir of a run, or the name that training was given.
        root: Folder of the models that have names.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a folder holds several.
    """
    path = Path(model)
    if path.is_file():
        return path
    folders = [place for place in (path, Path(root) / path) if place.is_dir()]
    if not folders:
        known = sorted(p.parent.name for p in Path(root).glob('*/*.pth'))
        there = f'; there are {", ".join(known[:10])}' if known else ''
        raise FileNotFoundError(
            f'{model}: no such model: neither a file nor a folder, nor below {root}/{there}'
        )
    # The recordings may lie in a folder of the model's name.
    folder = next((place for place in folders if any(place.glob('*.pth'))), folders[0])
    found = sorted(folder.glob('*.pth'))
    if len(found) != 1:
        names = ', '.join(p.name for p in found)
        if found:
            raise ValueError(f'{folder}: holds several model files ({names}); give one of them')
        raise FileNotFoundError(f'{folder}: holds no model file: training has not come to its end')
    return found[0]


def alarm_of(
    path: str | Path,
    model: ObjectVAD,
    channel: str,
    policy: ScorePolicy,
    false_alarms: float,
) -> tuple[float, float]:
    """Above which final score there is an alarm, by normal video that the scorer has not seen.

    Args:
        path: The model file.
        model: The model in it.
        channel: The score.
        policy: What is done to scores after the model.
        false_alarms: An hour, above 0 and below 3600.

    Returns:
        The threshold, and the seconds of normal video it is taken of.

    Raises:
        ValueError: If the file holds no such scores, or too few; the message says what helps.
    """
    if not 0 < false_alarms < 3600:
        raise ValueError(
            f'false_alarms: expected above 0 and below 3600 an hour, got {false_alarms}'
        )
    helps = 'give a threshold yourself (--threshold)'
    if (normal := normal_scores_of(path)) is None:
        raise ValueError(
            f'{path}: holds no scores of unseen normal video, which a self-check leaves; {helps}'
        )
    try:
        found, seconds = normal_threshold(
            normal, channel, policy, model.scorer.floors, false_alarms
        )
    except ValueError as error:
        raise ValueError(f'{path}: {error}; train on more video, or {helps}') from error
    return found, float(sum(map(len, seconds)))
