"""Annotation files for UCF-Crime: training.json, testing.json.

    python tools/dataset_converters/ucf_crime.py data/ucf_crime

reads Temporal_Anomaly_Annotation_for_Testing_Videos.txt and Anomaly_Train.txt (and, where it is
there, Anomaly_Test.txt) in the dataset's folder, or in its folder annotations,
Anomaly_Detection_splits or UCF_Crimes-Train-Test-Split. The split for training has the normal
videos of the training list only. Videos, or folders of frames with their names, are found in

    Anomaly-Videos-Part-*/<class>/, Training-Normal-Videos-Part-*/,
    Training_Normal_Videos_Anomaly/, Testing_Normal_Videos_Anomaly/, <class>/,
    videos/, videos/<class>/, frames/, frames/<class>/

Where only a part of the videos is there, --subset converts that part. Labels that go beyond the
end of a video are an error; --clip cuts them, as the authors' evaluation does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmvad.preparation.converting import find, main, some
from mmvad.preparation.interval_files import (
    UCF_CRIME_CLASSES,
    IntervalRow,
    ListedVideo,
    read_ucf_crime,
    read_ucf_crime_list,
)
from mmvad.preparation.interval_videos import (
    OPTIONS,
    LabelledVideo,
    annotate_split,
    finish_found,
    index_videos,
    print_notes,
)

LABELS = 'Temporal_Anomaly_Annotation_for_Testing_Videos.txt'
LABEL_FOLDERS = (
    '',
    'annotations',
    'Anomaly_Detection_splits',
    'UCF_Crimes-Train-Test-Split',
    'UCF_Crimes-Train-Test-Split/Anomaly_Detection_splits',
)
PARTS = ('Anomaly-Videos-Part-*', 'Training-Normal-Videos-Part-*')
# Some programs unpack an archive into a folder of its name, which then holds another one.
PARENTS = (*PARTS, *(f'{part}/{part}' for part in PARTS), '', 'videos', 'frames')
NORMAL_FOLDERS = (
    'Training_Normal_Videos_Anomaly',
    'Testing_Normal_Videos_Anomaly',
    'Testing_Normal_Videos',
    'Testing_Normal_Videos/Testing_Normal_Videos_Anomaly',
)


def convert(root: Path, subset: bool = False, clip: bool = False) -> None:
    """Write the annotation files of both splits.

    Args:
        root: The dataset's folder.
        subset: Convert the videos that are there.
        clip: Cut labels that go beyond the end of a video.
    """
    labels = find(root, 'labels of the test videos', _places(LABELS))
    train_list = find(root, 'list of the training videos', _places('Anomaly_Train.txt'))
    rows = read_ucf_crime(labels)
    listed = read_ucf_crime_list(train_list)
    names = {row.video for row in rows}
    if both := [video.video for video in listed if video.video in names]:
        raise ValueError(f'{train_list}: {len(both)} videos are in {labels} too: {some(both)}')
    for place in _places('Anomaly_Test.txt'):
        if (root / place).is_file():
            tested = {video.video for video in read_ucf_crime_list(root / place)}
            if unlike := sorted(tested ^ names):
                raise ValueError(
                    f'{root / place}: {len(unlike)} videos are there or in {labels}, but not in '
                    f'both: {some(unlike)}'
                )
    print_notes(labels, rows)

    found = index_videos(_folders(root))
    normal = [LabelledVideo(v.video, (), _fields(v)) for v in listed if v.category == 'Normal']
    tested = [LabelledVideo(row.video, row.intervals, _fields(row)) for row in rows]
    training = annotate_split(
        root, 'training', normal, found, f'normal videos of {train_list.name}', subset
    )
    ground_truth = (
        f'{LABELS}, whose frames count from 1 and whose ends are inclusive, as in the evaluation '
        'of its authors'
    )
    testing = annotate_split(root, 'testing', tested, found, ground_truth, subset, clip)
    finish_found(root, 'UCF-Crime', dict(training=training, testing=testing))


def _fields(video: IntervalRow | ListedVideo) -> dict[str, str]:
    return dict(category=video.category)


def _places(name: str) -> list[str]:
    return [f'{folder}/{name}' if folder else name for folder in LABEL_FOLDERS]


def _folders(root: Path) -> Iterator[Path]:
    for pattern in PARENTS:
        for parent in sorted(root.glob(pattern)) if pattern else [root]:
            yield parent
            for folder in (*UCF_CRIME_CLASSES, *NORMAL_FOLDERS):
                yield parent / folder


if __name__ == '__main__':
    main(convert, __doc__, OPTIONS)
