"""A piece of a page that a notebook cell displays, and the small markup its texts may use."""

import html
import re
from dataclasses import dataclass

# One alternative a group, in this order: display maths, inline maths, code, strong, emphasis.
_MARKUP = re.compile(
    r"\$\$(?P<display>.+?)\$\$"
    r"|\$(?P<maths>[^$]+)\$"
    r"|`(?P<code>[^`]+)`"
    r"|\*\*(?P<strong>.+?)\*\*"
    r"|\*(?P<em>[^*]+)\*",
    re.DOTALL,
)


def inline_html(text: str) -> str:
    r"""HTML of a text with `code`, *emphasis*, **strong** and $maths$; everything else is escaped.

    Maths becomes `\(...\)`, which MathJax finds in the book and in JupyterLab alike.
    """
    pieces: list[str] = []
    end = 0
    for match in _MARKUP.finditer(text):
        pieces.append(html.escape(text[end : match.start()]))
        pieces.append(_marked(match))
        end = match.end()
    pieces.append(html.escape(text[end:]))
    return "".join(pieces)


def _marked(match: re.Match[str]) -> str:
    kind = str(match.lastgroup)
    content = match.group(kind)
    if kind == "display":
        return rf"\[{html.escape(content)}\]"
    if kind == "maths":
        return rf"\({html.escape(content)}\)"
    if kind == "code":
        return f"<code>{html.escape(content)}</code>"
    return f"<{kind}>{inline_html(content)}</{kind}>"


@dataclass(frozen=True)
class Element:
    """Something to display: HTML, and the same as Markdown where HTML is not shown.

    The HTML carries its own style, because JupyterLab and Colab know no style sheet of ours: only
    `currentColor` and translucent backgrounds, which read on light and on dark pages.
    """

    html: str
    markdown: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {
            "text/html": self.html,
            "text/markdown": self.markdown,
            "text/plain": self.markdown,
        }

    def __repr__(self) -> str:
        return self.markdown


def box(
    content: str, *, name: str, label: str, colour: str, identifier: str = "", tint: float = 0.08
) -> str:
    """HTML of a box with a coloured edge; `colour` is "red, green, blue", each from 0 to 255.

    `tint` is how much of it the background gets: 0 where a picture's grey text lies on it.
    The class `tex2jax_process` asks the book's MathJax to look inside.
    """
    anchor = f' id="{html.escape(identifier)}"' if identifier else ""
    return (
        f'<div{anchor} class="mlcourse-{name} tex2jax_process" role="group" '
        f'aria-label="{html.escape(label)}" '
        f'style="border-left: 4px solid rgb({colour}); background-color: rgba({colour}, {tint:g}); '
        f'border-radius: 4px; padding: 12px 16px; margin: 16px 0;">\n{content}\n</div>'
    )
