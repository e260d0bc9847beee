#!/usr/bin/env python3
"""Makes values.schema.json and the table of README.md of each chart out of its values.yaml.

Above a value stands what it is. Of its comment, lines with an @ are not shown:
    @schema {...}   what else may be set, in the words of JSON Schema; merged over what the default tells
    @example ...    another value, in JSON, for the tests that set every value
    @free           a map with keys that are not ours: anything may be set below
`--check` writes nothing and fails if a file is not what it would be. Needs PyYAML.
"""

import json
import re
import sys
from pathlib import Path

import yaml

CHARTS = Path(__file__).resolve().parent
BEGIN, END = "<!-- values -->", "<!-- /values -->"
KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9_]*):")


class Value:
    """One key of values.yaml with its comment."""

    def __init__(self, path, default, comment):
        self.path, self.default = path, default
        self.is_free = "@free" in comment
        self.schema = self.marked(comment, "@schema")
        self.example = self.marked(comment, "@example")
        self.text = " ".join(line for line in comment if line and not line.startswith("@"))

    @staticmethod
    def marked(comment, mark):
        found = [line[len(mark) :] for line in comment if line.startswith(mark + " ")]
        return json.loads(found[0]) if found else None

    @property
    def is_section(self):
        return isinstance(self.default, dict) and bool(self.default) and not self.is_free


def read(text):
    """The values in the order of the file; those of maps that are not ours, and of lists, are one value."""
    tree, comment, parents, skip_deeper, values = yaml.safe_load(text), [], [], None, []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip()[1:].strip())
            continue
        key = KEY.match(line)
        if not key:
            comment = []
            continue
        depth = len(key[1]) // 2
        if skip_deeper is not None and depth > skip_deeper:
            continue
        skip_deeper = None
        path = parents[:depth] + [key[2]]
        default = tree
        for name in path:
            default = default[name]
        value = Value(path, default, comment)
        if not value.text:
            raise SystemExit(f"{'.'.join(path)} has no comment")
        values.append(value)
        parents, comment = path, []
        if not value.is_section:
            skip_deeper = depth
    return values


def type_of(default):
    names = [(bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object")]
    return next((name for kind, name in names if isinstance(default, kind)), None)


def schema_of(values):
    root = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": False}
    root["properties"] = {"global": {"type": "object", "description": "Of Helm, for charts above this one."}}
    # The library chart has no values; Helm gives it an empty map.
    root["properties"]["rillcast-lib"] = {"type": "object"}
    for value in values:
        own = {"description": value.text}
        if "enum" not in (value.schema or {}):
            own["type"] = type_of(value.default)
        if value.is_section:
            own |= {"additionalProperties": False, "properties": {}}
        own |= value.schema or {}
        level = root
        for name in value.path[:-1]:
            level = level["properties"][name]
        level["properties"][value.path[-1]] = own
    return json.dumps(root, indent=2) + "\n"


def table_of(values):
    lines = [BEGIN, "", "| value | default | |", "| --- | --- | --- |"]
    for value in values:
        text = value.text.replace("|", "\\|")
        name = ".".join(value.path)
        if value.is_section:
            lines.append(f"| **{name}** | | {text} |")
        else:
            lines.append(f"| `{name}` | `{json.dumps(value.default)}` | {text} |")
    return "\n".join(lines + ["", END])


def examples_of(values):
    return {".".join(value.path): value.example for value in values if not value.is_section}


def generated(chart):
    values = read((chart / "values.yaml").read_text())
    readme = (chart / "README.md").read_text()
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    return {
        chart / "values.schema.json": schema_of(values),
        chart / "README.md": before + table_of(values) + after,
    }


def main(arguments):
    charts = [CHARTS / "origin", CHARTS / "edge"]
    if arguments[:1] == ["--examples"]:
        values = read((CHARTS / arguments[1] / "values.yaml").read_text())
        print(json.dumps(examples_of(values)))
        return 0
    stale = [
        (path, text) for chart in charts for path, text in generated(chart).items()
        if not path.exists() or path.read_text() != text
    ]
    for path, text in stale:
        if arguments == ["--check"]:
            print(f"{path.relative_to(CHARTS.parent)} is not what charts/generate.py makes: run it", file=sys.stderr)
        else:
            path.write_text(text)
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
