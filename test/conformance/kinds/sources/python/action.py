# What an action of this language can be asked to do. ../../README.md says what each act is.

import asyncio
import base64
import os
import subprocess
import sys
import tempfile
import threading
import time

LEFT_FILE = os.path.join(tempfile.gettempdir(), "left-behind")


def fails():
    raise ValueError("no luck")  # @throw


async def rejects():
    await asyncio.sleep(0)
    raise ValueError("no luck")


def circle():
    a = {}
    a["a"] = a
    return a


def leaves(code):
    print("last words")
    sys.exit(code)


def hang():
    print("still here")
    while True:
        time.sleep(1)


def eat():
    print("hungry")
    everything = []
    while True:
        everything.append(b"\x01" * (8 * 1024 * 1024))


def shell(command):
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    return {"code": done.returncode, "stderr": done.stderr}


def prints(line, lines):
    for _ in range(lines):
        print(line)
    return {}


def streams():
    print("out 1")
    print("err 1", file=sys.stderr)
    print("out 2")
    print("err 2", file=sys.stderr)
    sys.stdout.write("out 3")
    return {}


def reverse(text):
    sys.stdout.buffer.write(b"A\xff\xfeB\n")
    return {"base64": base64.b64encode(base64.b64decode(text)[::-1]).decode()}


def wait(ms):
    time.sleep(ms / 1000)
    return {"waited": ms}


def until_cancelled(context):
    print("waiting")
    context.cancelled.wait()
    return {"cancelled": True}


def leave():
    os.environ["LEFT_BEHIND"] = "yes"
    with open(LEFT_FILE, "w") as file:
        file.write("left")
    print("left")
    return {}


def look():
    return {
        "leftBehind": os.environ.get("LEFT_BEHIND"),
        "file": os.path.exists(LEFT_FILE),
        "activationId": os.environ["__OW_ACTIVATION_ID"],
        "apiKey": os.environ.get("__OW_API_KEY"),
    }


def late():
    threading.Timer(0.2, lambda: print("late")).start()
    return {}


ACTS = {
    "echo": lambda params, _: params,
    "throw": lambda params, _: fails(),
    "reject": lambda params, _: rejects(),
    "text": lambda params, _: "text",
    "circle": lambda params, _: circle(),
    "nothing": lambda params, _: None,
    "array": lambda params, _: [1, "two", {"three": 3}],
    "exit": lambda params, _: leaves(params["code"]),
    "hang": lambda params, _: hang(),
    "eat": lambda params, _: eat(),
    "shell": lambda params, _: shell(params["command"]),
    "print": lambda params, _: prints(params["line"], params["lines"]),
    "streams": lambda params, _: streams(),
    "bytes": lambda params, _: reverse(params["base64"]),
    "environment": lambda params, _: {"env": dict(os.environ), "params": params},
    "wait": lambda params, _: wait(params["ms"]),
    "until-cancelled": lambda params, context: until_cancelled(context),
    "remaining": lambda params, context: {"remainingMs": context.remaining_ms()},
    "fill": lambda params, _: {"x": "x" * params["chars"]},
    "leave": lambda params, _: leave(),
    "look": lambda params, _: look(),
    "late": lambda params, _: late(),
}


def main(params, context):
    return ACTS[params["act"]](params, context)


def other(params):
    return {"other": True}
