#!/usr/bin/env python3
"""The folders include only what the architecture allows, and GLib and GStreamer stay where they belong."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# folder: the other folders of ours that it may include
MAY_INCLUDE = {
    "config": set(),
    "accel": set(),
    "inference": {"accel", "config"},
    "mqtt": {"config"},
    "ota": {"config", "mqtt"},
    "pipeline": {"accel", "config", "inference", "mqtt"},
}
# one header is opened to a folder that may not include the rest
EXTRA_HEADERS = {"pipeline": {"ota/control.h"}}
# inference/ reads YAML with config/'s reader and nothing else of it
ONLY_HEADERS = {("inference", "config"): {"config/yaml.h"}}
# system headers that must not appear in a folder
FORBIDDEN = {
    "accel": re.compile(r"<(glib|gio|gst)"),
    "inference": re.compile(r"<(glib|gio|gst)"),
    "config": re.compile(r"<gst"),
    "mqtt": re.compile(r"<gst"),
    "ota": re.compile(r"<gst"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+("(?P<own>[^"]+)"|(?P<system><[^>]+>))')


def problem_with(folder, own, system):
    if system:
        rule = FORBIDDEN.get(folder)
        return f"{system} does not belong here" if rule and rule.match(system) else None
    target = own.split("/")[0]
    if "/" not in own:
        return f'"{own}" must be named from the top: "{folder}/…"'
    if target == folder or target not in MAY_INCLUDE or own in EXTRA_HEADERS.get(folder, set()):
        return None
    if target not in MAY_INCLUDE[folder]:
        return f"{folder}/ may not include {target}/ ({own})"
    only = ONLY_HEADERS.get((folder, target))
    return f"{folder}/ may include only {sorted(only)} of {target}/, not {own}" if only and own not in only else None


def problems_in(path, folder):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        problem = match and problem_with(folder, match["own"] or "", match["system"])
        if problem:
            yield f"{path.relative_to(ROOT)}:{number}: {problem}"


def main():
    # The rules must be able to fail.
    assert problem_with("accel", "inference/model.h", None)
    assert problem_with("accel", "", "<glib.h>")
    assert problem_with("inference", "config/camera.h", None)
    assert problem_with("pipeline", "ota/slot.h", None)
    assert not problem_with("pipeline", "ota/control.h", None)

    problems, files = [], 0
    for folder in MAY_INCLUDE:
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            files += 1
            problems += problems_in(path, folder)
    print("\n".join(problems) or f"{files} files, every include follows the architecture")
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
