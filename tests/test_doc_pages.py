"""The code of guides runs page by page, and the site is built without a warning.

The other pages' code is run by ``test_docs.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPO

# Pages whose code has a test of its own.
ELSEWHERE = ('smm_in_mmaction2',)
GUIDES = [p for p in sorted((REPO / 'docs/guides').glob('*.md')) if p.stem not in ELSEWHERE]
NAMED = ('install', 'protocols')
PAGES = [*(REPO / f'docs/{name}.md' for name in NAMED), *GUIDES]


def blocks(path: Path, languages: str = 'python') -> list[tuple[str, str]]:
    """Language and code of a page's blocks."""
    found = re.findall(rf'^```({languages})\n(.*?)^```$', path.read_text(), re.M | re.S)
    return [(language, code) for language, code in found]


def script(path: Path) -> str:
    """A page's code as one program, all in one folder: shell commands run where they stand, and a
    block that begins with ``# file: NAME`` is written to that file."""
    # The repairs of the stack come with the package, as in the tools.
    lines = ['import subprocess as _subprocess', 'import mmvad']
    for language, code in blocks(path, 'python|shell'):
        if code.startswith('# file: '):
            name = code.splitlines()[0].removeprefix('# file: ')
            code = f'__import__("pathlib").Path({name!r}).write_text({code!r})'
        elif language == 'shell':
            code = f'_subprocess.run(["bash", "-euc", {code!r}], check=True)'
        lines.append(code)
    return '\n'.join(lines)


def run(code: str, folder: Path) -> subprocess.CompletedProcess:
    program = folder / '_page.py'
    program.write_text(code)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    return subprocess.run(
        [sys.executable, program],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=f'{REPO}{os.pathsep}{folder}', PATH=path),
    )


@pytest.mark.slow
@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_blocks_run(page, tmp_path):
    assert blocks(page), 'a page of commands that holds none'
    (tmp_path / 'tools').symlink_to(REPO / 'tools')
    (tmp_path / 'configs').symlink_to(REPO / 'configs')
    done = run(script(page), tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_metric_takes_twenty_lines():
    page = REPO / 'docs/guides/metric.md'
    assert '## Twenty lines' in page.read_text()
    (code,) = (code for _, code in blocks(page) if 'Runner(' in code)
    assert len([line for line in code.splitlines() if line.strip()]) == 20


class TestSite:
    @pytest.fixture
    def sources(self, tmp_path):
        """What the site is made of, to be changed."""
        pytest.importorskip('mkdocs')
        for path in REPO.iterdir():
            # Links to what the site does not hold become text.
            if path.name not in ('docs', 'build'):
                (tmp_path / path.name).symlink_to(path)
        shutil.copytree(REPO / 'docs', tmp_path / 'docs')
        return tmp_path

    @staticmethod
    def build(folder: Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, '-m', 'mkdocs', 'build', '--strict'],
            cwd=folder,
            capture_output=True,
            text=True,
        )

    def test_it_is_built_and_loads_nothing_from_elsewhere(self, sources):
        done = self.build(sources)
        assert done.returncode == 0, done.stderr
        assert 'WARNING' not in done.stderr
        site = sources / 'build/docs'
        pages = {p.relative_to(sources / 'docs') for p in (sources / 'docs').rglob('*.md')}
        assert all((site / page).with_suffix('.html').is_file() for page in pages)
        home = (site / 'index.html').read_text()
        assert 'href="ped2_study.html#results"' in home and 'src="overview.png"' in home
        for page in site.rglob('*.html'):
            loaded = re.findall(
                r'<(?:script|link|img)[^>]*(?:src|href)="([^"]+)"', page.read_text()
            )
            assert loaded and not [source for source in loaded if '//' in source], page

    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('[gone](nowhere.md)', 'nowhere.md'),
            ('[gone](architecture.md#no-such-place)', 'no-such-place'),
            ('[gone](../mmvad/nowhere.py)', '../mmvad/nowhere.py'),
        ],
    )
    def test_a_link_that_leads_nowhere_fails(self, sources, text, words):
        page = sources / 'docs/faults.md'
        page.write_text(f'{page.read_text()}\n{text}\n')
        done = self.build(sources)
        assert done.returncode and 'WARNING' in done.stderr and words in done.stderr
