"""A page to hand on: videos with their scores, events and reasons, in one folder that opens from
disk, without a server and without a network.

``contents`` holds what a page shows; ``render`` writes it. The HTML is a Jinja2 template, which
escapes every text; the frames' scores and boxes lie in a script a video, since a page from disk may
read no other files.
"""

from .contents import Moment, Page, PageObjects, PageVideo, Reason, Row, Table
from .render import GENERATOR, write_page

__all__ = [
    'GENERATOR',
    'Moment',
    'Page',
    'PageObjects',
    'PageVideo',
    'Reason',
    'Row',
    'Table',
    'write_page',
]
