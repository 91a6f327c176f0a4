"""Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts.

runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.
"""

import ast
import os
import sys
import warnings

# Modules that are looked at.
FILES_MAX = 200
# Folders of what others wrote.
BROUGHT = ("virtualenv/", "packages/")


def entry():
    file = os.environ.get("WEFT_SOURCE_FILE", "")
    if file:
        return file
    if not os.path.isfile("__main__.py"):
        sys.exit("the archive has no __main__.py: pack the folder's content, not the folder")
    return "__main__.py"


def check(path):
    """What is wrong with a file, or None; and its tree, or None."""
    try:
        with open(path, "rb") as file:
            source = file.read()
        tree = ast.parse(source, path)
        compile(source, path, "exec", dont_inherit=True)
        return None, tree
    except SyntaxError as mistake:
        kind = type(mistake).__name__
        return "%s:%d:%d: %s: %s" % (path, mistake.lineno or 1, max(mistake.offset or 1, 1), kind, mistake.msg), None
    except (OSError, ValueError, RecursionError, MemoryError) as mistake:
        return "%s:1: %s: %s" % (path, type(mistake).__name__, mistake), None


def named(tree, path):
    """Own modules that a file imports by name. What nothing imports may be anything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = [".".join(filter(None, (node.module, alias.name))) for alias in node.names]
            names = [(node.level, name) for name in [node.module or "", *inside] if name]
        else:
            continue
        for level, name in names:
            base = os.path.dirname(path) if level else ""
            for _ in range(level - 1):
                base = os.path.dirname(base)
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                stem = os.path.join(base, *parts[:end])
                yield from (one for one in (stem + ".py", os.path.join(stem, "__init__.py")) if os.path.isfile(one))


def main():
    warnings.simplefilter("ignore")
    mistakes, seen = [], [entry()]
    for path in seen:  # it grows
        said, tree = check(path)
        if said is not None:
            mistakes.append(said)
        elif not path.startswith(BROUGHT):
            seen.extend(one for one in dict.fromkeys(named(tree, path)) if one not in seen and len(seen) < FILES_MAX)
    if mistakes:
        sys.exit("\n".join(mistakes))


main()
