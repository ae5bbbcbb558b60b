"""A file of results: readable, a run a line, and whole at each moment."""

import json


def replace(path, text):
    """Write so that a stop in between leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def one_a_line(head, **parts):
    """JSON of the head, then of each part: a list of lines, each a run."""
    text = json.dumps({**head, **{part: [] for part in parts}}, indent=1)
    for part, lines in parts.items():
        body = ",\n".join("  " + line for line in lines)
        text = text.replace(f'"{part}": []', f'"{part}": [\n{body}\n ]')
    return text + "\n"
