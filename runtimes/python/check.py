"""Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts.

runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.
"""

import os
import sys
import warnings

# Own modules that are looked at.
FILES_MAX = 1000
# Folders of what others wrote.
BROUGHT = ("virtualenv", "packages")


def own_modules():
    """Paths below the working folder, the entry first."""
    file = os.environ.get("WEFT_SOURCE_FILE", "")
    if file:
        return [file]
    if not os.path.isfile("__main__.py"):
        sys.exit("the archive has no __main__.py: pack the folder's content, not the folder")
    found = []
    for folder, folders, files in os.walk("."):
        folders[:] = sorted(name for name in folders if folder != "." or name not in BROUGHT)
        found += (os.path.normpath(os.path.join(folder, name)) for name in sorted(files) if name.endswith(".py"))
    found.sort(key=lambda path: path != "__main__.py")
    return found[:FILES_MAX]


def check(path):
    with open(path, "rb") as file:
        source = file.read()
    try:
        compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as mistake:
        kind = type(mistake).__name__
        return "%s:%d:%d: %s: %s" % (path, mistake.lineno or 1, max(mistake.offset or 1, 1), kind, mistake.msg)
    except (ValueError, RecursionError, MemoryError) as mistake:
        return "%s:1: %s: %s" % (path, type(mistake).__name__, mistake)
    return None


def main():
    warnings.simplefilter("ignore")
    mistakes = [said for said in map(check, own_modules()) if said is not None]
    if mistakes:
        sys.exit("\n".join(mistakes))


main()
