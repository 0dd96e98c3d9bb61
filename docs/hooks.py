"""What MkDocs is told beyond mkdocs.yml, so that pages read as well in the repository as on a site.

README.md and CHANGELOG.md become pages; links between these and the pages are turned to where the
pages are; links to files of the repository, which the site does not hold, become plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

#: File of the repository to page of the site.
TAKEN_IN = {'README.md': 'index.md', 'CHANGELOG.md': 'changelog.md'}

# [text](target#anchor) and ![text](target); a text may hold one level of brackets.
_LINK = re.compile(r'(!?)\[((?:[^][]|\[[^][]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)')

_FENCED = re.compile(r'(^```.*?^```$)', re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie outside ``docs``."""
    for name, page in TAKEN_IN.items():
        content = (ROOT / name).read_text(encoding='utf-8')
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns the links of one page."""
    here = page.file.src_uri
    sources = {site: name for name, site in TAKEN_IN.items()}
    folder = posixpath.dirname(sources.get(here, f'docs/{here}'))

    def turned(match: re.Match) -> str:
        image, text, target, anchor = match.groups(default='')
        if not target or '://' in target or target.startswith(('mailto:', '/')):
            return match.group(0)
        path = posixpath.normpath(posixpath.join(folder, target))
        site = TAKEN_IN.get(path, path.removeprefix('docs/') if path.startswith('docs/') else '')
        if site:
            new = posixpath.relpath(site, posixpath.dirname(here) or '.')
            return f'{image}[{text}]({new}{anchor})'
        # What is nowhere stays as it is: MkDocs warns of it.
        return text if (ROOT / path).exists() else match.group(0)

    # Code may look like links.
    parts = _FENCED.split(markdown)
    return ''.join(part if part.startswith('```') else _LINK.sub(turned, part) for part in parts)
