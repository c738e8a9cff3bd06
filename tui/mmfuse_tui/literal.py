"""Words from outside where Textual expects its markup: shown as they are, brackets and all.

A name may be ``[/`` or ``[@click=app.quit]``. As markup the first ends the dashboard with an error and the second is a
button, and Textual's own `escape` knows neither of them for what it is. What is made here is never parsed.
"""

from __future__ import annotations

from textual.content import Content
from textual.fuzzy import Matcher

from mmfuse_tui.clean import clean


def titled(title: str, *more: str) -> Content:
    """The title of a frame, safe to draw; its first part stands out."""
    return Content.assemble((clean(title), "bold"), *(f" {clean(words)}" for words in more if words))


def matched(matcher: Matcher, words: str) -> Content:
    """``words`` with the characters that the query found marked, for a line of the palette."""
    content = Content(words)
    score, places = matcher.fuzzy_search.match(matcher.query, words)
    for place in places if score else ():
        if not words[place].isspace():
            content = content.stylize(matcher.match_style, place, place + 1)
    return content
