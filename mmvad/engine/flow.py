"""The order in which stages run, from what each says it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from mmvad.structures import RESERVED

from .stage import BaseStage


@dataclass(frozen=True)
class Step:
    """A stage, or one split of it.

    Args:
        name: ``stage`` or ``stage/split``.
        stage: The stage.
        split: Its split, if it has several.
        needs: Names of the steps whose outputs it reads.
    """

    name: str
    stage: BaseStage
    split: str | None
    needs: tuple[str, ...]


class Flow:
    """The steps of a method, in an order in which each comes after what it needs.

    Args:
        stages: In the order of the config, which stays where needs leave it open.
        splits: The splits that there are; steps of others, and what needs them, are left out.

    Raises:
        ValueError: If two stages share a name or a folder, a need is not met, or stages need each
            other in a circle.
    """

    def __init__(self, stages: Sequence[BaseStage], splits: Sequence[str]) -> None:
        names = [stage.name for stage in stages]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f'stages: two are named {twice[0]!r}; names must differ')
        folders: dict[str, str] = {}
        for stage in stages:
            if stage.folder in RESERVED or stage.folder.endswith('.stale') or '/' in stage.folder:
                raise ValueError(
                    f'stages.{stage.name}: writes to the folder {stage.folder!r}, which is not for '
                    f'stages ({", ".join(RESERVED)}, *.stale) or lies in another'
                )
            other = folders.setdefault(stage.folder, stage.name)
            if other != stage.name:
                raise ValueError(
                    f'stages.{stage.name}: writes to the folder {stage.folder!r}, '
                    f'as stages.{other} does'
                )
        self.stages = list(stages)
        everything = {step.name: step for stage in stages for step in _steps(stage)}
        for step in everything.values():
            if unknown := [need for need in step.needs if need not in everything]:
                raise ValueError(
                    f'stages.{step.stage.name}: needs {unknown[0]!r}, which no stage leaves; there '
                    f'are {sorted(everything)}'
                )
        order = {name: index for index, name in enumerate(everything)}
        sorter = TopologicalSorter()
        for step in everything.values():
            sorter.add(step.name, *step.needs)
        try:
            sorter.prepare()
        except CycleError as error:
            raise ValueError(
                f'stages: in a circle: {" needs ".join(error.args[1][::-1])}'
            ) from error
        names = []
        ready: set[str] = set()
        while sorter.is_active():
            ready |= set(sorter.get_ready())
            # The config's order where several could be next.
            name = min(ready, key=order.__getitem__)
            ready.remove(name)
            names.append(name)
            sorter.done(name)
        #: Steps of splits that there are not, and what needs them.
        self.left_out: dict[str, Step] = {}
        #: Name to step, in order.
        self.steps: dict[str, Step] = {}
        for name in names:
            step = everything[name]
            reads = (step.stage.reads_frames or '').format(split=step.split)
            missing = {step.split or reads, reads} - {'', *splits}
            if missing or any(need in self.left_out for need in step.needs):
                self.left_out[name] = step
            else:
                self.steps[name] = step

    def of(self, stage: str) -> list[Step]:
        """The steps of one stage.

        Raises:
            ValueError: If there is no such stage, or nothing for it to do.
        """
        names = [s.name for s in self.stages]
        if stage not in names:
            raise ValueError(f'stage: expected one of {tuple(names)}, got {stage!r}')
        found = [step for step in self.steps.values() if step.stage.name == stage]
        if not found:
            raise ValueError(f'stage: {stage}: the config names no test_dataset, which it needs')
        return found

    def behind(self, names: Iterable[str], cut: Iterable[str] = ()) -> list[Step]:
        """Some steps and all that they need, in order.

        Args:
            names: Of the steps.
            cut: Stages that something else stands in for: neither they nor what only they need.
        """
        cut = set(cut)
        wanted: set[str] = set()
        queue = list(names)
        while queue:
            step = self.steps[queue.pop()]
            if step.name not in wanted and step.stage.name not in cut:
                wanted.add(step.name)
                queue += step.needs
        return [step for name, step in self.steps.items() if name in wanted]


def _steps(stage: BaseStage) -> list[Step]:
    if not stage.splits:
        return [Step(stage.name, stage, None, tuple(stage.needs))]
    return [
        Step(
            f'{stage.name}/{split}',
            stage,
            split,
            tuple(need.format(split=split) for need in stage.needs),
        )
        for split in stage.splits
    ]
