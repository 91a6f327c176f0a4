"""Serves /init and /run as OpenWhisk's images do, and does what `act` asks for."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
state = {"init": None, "runs": 0}


def lines(request):
    for n in (1, 2):
        print("out %d" % n, flush=True)
        print("err %d" % n, file=sys.stderr, flush=True)
    return 200, {}


def writes(_):
    with open("/app/written", "w") as file:
        file.write("here")
    with open("/data/written", "w") as file:
        file.write("here")
    return 200, {"written": sorted(os.listdir("/app")), "user": os.getuid(), "cwd": os.getcwd()}


def fills(request):
    try:
        with open("/app/big", "wb") as file:
            file.truncate(request["value"]["bytes"])
    except OSError as error:
        return 200, {"refused": error.strerror}
    return 200, {"written": request["value"]["bytes"]}


ACTS = {
    "echo": lambda request: (200, request["value"]),
    "request": lambda request: (200, {"request": request, "init": state["init"], "runs": state["runs"]}),
    "environment": lambda _: (200, dict(os.environ)),
    "error": lambda _: (200, {"error": "as it says", "more": 1}),
    "refuse": lambda _: (502, {"error": "The action did not return a dictionary."}),
    "strange": lambda _: (500, ["no", "object"]),
    "text": lambda _: (200, "text"),
    "array": lambda _: (200, [1, 2]),
    "lines": lines,
    "writes": writes,
    "fills": fills,
    "wait": lambda request: (time.sleep(request["value"]["ms"] / 1000), (200, {"waited": True}))[1],
    "exit": lambda _: (print("last words", file=sys.stderr, flush=True), os._exit(3)),
    "large": lambda request: (200, {"x": "x" * request["value"]["chars"]}),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.init(request) if self.path == "/init" else self.run(request)
        body = json.dumps(answer).encode()
        how = request["value"].get("respond") if self.path == "/run" else None
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if how == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif how != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if how == "chunked" else body)
        self.close_connection = self.close_connection or how == "endless"
        if self.path == "/run":
            for stream in (sys.stdout, sys.stderr):
                print(SENTINEL, file=stream, flush=True)

    def init(self, request):
        if state["init"] is not None:
            return 403, {"error": "Cannot initialize the action more than once."}
        code = request["value"].get("code")
        if code == "broken":
            print("it does not load", file=sys.stderr, flush=True)
            return 502, {"error": "The code is broken."}
        if code == "odd":
            return 500, "odd"
        state["init"] = request["value"]
        return 200, {"ok": True}

    def run(self, request):
        state["runs"] += 1
        return ACTS[request["value"].get("act", "echo")](request)

    def log_message(self, *_):
        pass


time.sleep(float(os.environ.get("SLOW", "0.2")))  # nobody listens at first
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
