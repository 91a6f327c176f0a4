"""Puts the packages that requirements.txt names into the folder packages, with pip: what build.sh starts when an archive's
dependencies are to be resolved. runtimes/launcher/build.go says what it finds.

Nothing of a package runs here: only wheels are taken. The setup of others would see the operator's keys to his indexes, and
what it makes is in no lock.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote, urlsplit

UNAVAILABLE = 69  # EX_UNAVAILABLE: it is not the source's fault
PIP_OLDEST = (22, 2)  # the first with a report
LIST = "requirements.txt"
BROUGHT = ("packages", "virtualenv")

# What pip says of the network, of an index, or of who asks it.
NOT_THE_SOURCE = re.compile(
    r"connection broken by|Max retries exceeded|NewConnectionError|ProxyError|SSLError|ReadTimeout|ConnectTimeout|Read timed out"
    r"|\b(?:5\d\d Server Error|(?:401|403|407|429) Client Error)|HTTP error (?:5\d\d|401|403|407|429)|User for .*:.*EOF"
    r"|No space left on device"
)
NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")


def fail(said, status=1):
    print(said)
    sys.exit(status)


def lists_any():
    if not os.path.isfile(LIST) or any(os.path.isdir(folder) for folder in BROUGHT):
        return False
    with open(LIST, encoding="utf-8-sig", errors="replace") as file:
        return any(line.strip() and not line.lstrip().startswith("#") for line in file)


def pip(*arguments):
    return subprocess.run(
        # Isolated: a module of the archive is not one of pip's.
        [sys.executable, "-I", "-m", "pip", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )


def need_pip():
    found = re.match(r"pip (\d+)\.(\d+)", pip("--version").stdout)
    if not found:
        fail("there is no pip here to fetch packages with: install it (python3 -m pip)", UNAVAILABLE)
    if tuple(map(int, found.groups())) < PIP_OLDEST:
        fail("%s is too old to fetch packages with: install pip %d.%d or newer" % (found[0], *PIP_OLDEST), UNAVAILABLE)


def what_failed(said):
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if not line.startswith(("WARNING: ", "[notice]"))]
    text = "pip could not resolve %s: %s" % (LIST, "\n".join(line for line in lines if line.strip()) or said.strip())
    missing = NO_WHEEL.search(said)
    line = missing and line_of(missing[1])
    if line:
        text = "%s:%d: %s" % (LIST, line, text.removeprefix("pip could not resolve %s: " % LIST))
    if missing:
        text += (
            "\n(only wheels for %s on %s are taken: a package that has to be built is brought as a wheel, which %s names by its path)"
            % ("Python %d.%d" % sys.version_info[:2], os.uname().machine, LIST)
        )
    return text


def line_of(requirement):
    name = normal(re.match(r"[\w.-]*", requirement)[0])
    with open(LIST, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            found = re.match(r"\s*([\w.-]+)", line)
            if found and normal(found[1]) == name:
                return number
    return None


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(report):
    """A list of requirements that can be put in the place of the one that was resolved."""
    lines = []
    for one in report["install"]:
        info, metadata = one["download_info"], one["metadata"]
        url = urlsplit(info["url"])
        what = "%s==%s" % (normal(metadata["name"]), metadata["version"])
        if one.get("is_direct"):
            own = url.scheme == "file"
            what = "./" + os.path.relpath(unquote(url.path)) if own else "%s @ %s" % (normal(metadata["name"]), info["url"])
        archive = info["archive_info"]
        digests = archive.get("hashes") or dict([archive["hash"].split("=", 1)])
        lines.append("%s --hash=sha256:%s" % (what, digests["sha256"]))
    return "".join("%s\n" % line for line in sorted(lines))


def main():
    if not lists_any():
        return
    need_pip()
    scratch = os.environ["WEFT_BUILD_DIR"]
    report = os.path.join(scratch, "report.json")
    # A folder that comes to be only when all went well.
    target = os.path.join(scratch, "packages")
    done = pip(
        "install", "--only-binary=:all:", "--no-compile", "--no-cache-dir", "--no-input", "--disable-pip-version-check",
        "--no-warn-script-location", "--quiet", "--progress-bar=off", "--timeout=15", "--retries=2",
        "--target=" + target, "--report=" + report, "--requirement=" + LIST,
    )  # fmt: skip
    if done.returncode != 0:
        unreachable = next((line for line in done.stdout.splitlines() if NOT_THE_SOURCE.search(line)), None)
        if unreachable:
            reason = re.sub(r"^(?:WARNING|ERROR): ", "", unreachable)
            hint = "\n(builds reach the hosts of the setting buildRegistries)" if "403" in reason else ""
            fail("packages could not be fetched; nothing is wrong with the source for that: " + reason + hint, UNAVAILABLE)
        fail(what_failed(done.stdout))
    with open(report, encoding="utf-8") as file:
        lock = locked(json.load(file))
    if not lock:
        return  # all of it is for other machines
    shutil.move(target, "packages")
    with open(os.environ["WEFT_LOCK_FILE"], "w", encoding="utf-8") as file:
        file.write(lock)


main()
