"""The python runtime: connects to its invoker, loads one action, runs it. See docs/runtime-contract.md.

Standard library only. The messages of weft.runtime.v1 are written by hand; unknown fields are skipped.
"""

import asyncio
import contextvars
import inspect
import io
import json
import os
import resource
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from concurrent.futures import ThreadPoolExecutor

FRAME_BYTES_MAX = 64 * 1024 * 1024
LINE_CHARS_MAX = 64 * 1024
ENTRIES_MAX = 100_000
UNPACKED_BYTES_MAX = 512 * 1024 * 1024
BETWEEN_LINES_MAX = 1_000

SUCCESS, APPLICATION_ERROR, DEVELOPER_ERROR = 1, 2, 3
STDOUT, STDERR = 1, 2


# ---- wire ----

def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("number too long")


def read_fields(data):
    """Yields (number, value): int for varints, bytes for chunks; other wire types are skipped."""
    at, end = 0, len(data)
    while at < end:
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = read_varint(data, at)
            yield tag >> 3, value
        elif wire == 2:
            length, at = read_varint(data, at)
            if at + length > end:
                raise ValueError("message ends inside a field")
            yield tag >> 3, data[at:at + length]
            at += length
        elif wire == 1:
            at += 8
        elif wire == 5:
            at += 4
        else:
            raise ValueError("unknown wire type")


def varint(value):
    out = bytearray()
    while value > 127:
        out.append((value & 127) | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def chunk(number, data):
    return varint((number << 3) | 2) + varint(len(data)) + data


def text(number, value):
    return chunk(number, value.encode("utf-8", "replace")) if value else b""


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


class Link:
    """Frames over the socket. Writes come from several threads."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb", 64 * 1024)
        self.lock = threading.Lock()

    def send(self, *messages):
        data = b"".join(struct.pack(">I", len(m)) + m for m in messages)
        with self.lock:
            self.socket.sendall(data)

    def receive(self):
        head = self.reader.read(4)
        if len(head) < 4:
            return None
        (length,) = struct.unpack(">I", head)
        if length > FRAME_BYTES_MAX:
            return None
        body = self.reader.read(length)
        return body if len(body) == length else None


# ---- output ----

class Output:
    """What one run printed and has not been sent yet."""

    def __init__(self, call, limit):
        self.call, self.limit = call, limit
        self.lines, self.partial = [], {STDOUT: "", STDERR: ""}
        self.bytes, self.truncated = 0, False
        self.lock = threading.Lock()

    def write(self, stream, data):
        with self.lock:
            rest = self.partial[stream] + data
            while True:
                cut = rest.find("\n")
                if 0 <= cut <= LINE_CHARS_MAX:
                    self._add(stream, rest[:cut])
                    rest = rest[cut + 1:]
                elif len(rest) >= LINE_CHARS_MAX:
                    self._add(stream, rest[:LINE_CHARS_MAX])
                    rest = rest[LINE_CHARS_MAX:]
                else:
                    break
            self.partial[stream] = rest

    def _add(self, stream, line):
        encoded = line.encode("utf-8", "replace")
        if self.truncated or self.bytes + len(encoded) + 1 > self.limit:
            self.truncated = True
            return
        self.bytes += len(encoded) + 1
        self.lines.append(chunk(2, number(1, stream) + number(2, time.time_ns()) + chunk(3, encoded)))

    def take(self, end):
        """The lines as a Logs message, or None. `end` also takes lines without a line end."""
        with self.lock:
            if end:
                for stream in (STDOUT, STDERR):
                    if self.partial[stream]:
                        self._add(stream, self.partial[stream])
                        self.partial[stream] = ""
            if not self.lines:
                return None
            message = chunk(4, number(1, self.call) + b"".join(self.lines))
            self.lines = []
            return message


class Stream(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr."""

    encoding = "utf-8"

    def __init__(self, runtime, stream):
        self.runtime, self.stream = runtime, stream

    def writable(self):
        return True

    def write(self, data):
        if not isinstance(data, str):
            raise TypeError("write() argument must be str")
        self.runtime.output().write(self.stream, data)
        return len(data)

    def flush(self):
        self.runtime.flush_soon()


# ---- runs ----

class Context:
    """Handed to a main that takes a second argument."""

    def __init__(self, run):
        self.activation_id = run["activation_id"]
        self.deadline_wall_ms = run["deadline"]
        self.traceparent = run["traceparent"]
        self.cancelled = threading.Event()
        self._ends = time.monotonic() + run["remaining_ms"] / 1000

    def remaining_ms(self):
        return max(0, int((self._ends - time.monotonic()) * 1000))


def error_json(error):
    return json.dumps({"error": error}, default=str).encode()


class Runtime:
    def __init__(self, link, work_dir, kind):
        self.link, self.work_dir, self.kind = link, work_dir, kind
        self.main = None
        self.takes_context = False
        self.initialised = False
        self.concurrency = 1
        self.log_limit = 0
        self.current = contextvars.ContextVar("output", default=None)
        self.between = Output(0, BETWEEN_LINES_MAX * 100)
        self.only = None
        self.contexts = {}
        self.tasks = {}
        self.pool = None

    def output(self):
        return self.current.get() or self.only or self.between

    def flush_soon(self):
        message = self.output().take(False)
        if message:
            self.link.send(message)

    def serve(self):
        version = "%d.%d.%d" % sys.version_info[:3]
        self.link.send(chunk(1, text(1, self.kind) + text(2, version) + number(3, 1)))
        while True:
            frame = self.link.receive()
            if frame is None:
                os._exit(0)
            for field, value in read_fields(frame):
                if field == 1:
                    self.init(value)
                elif field == 2:
                    self.accept(value)
                elif field == 3:
                    self.cancel(value)
                else:
                    os._exit(3)  # a message of a newer protocol: doing part of it would be worse

    # ---- init ----

    def init(self, data):
        if self.initialised:
            self.answer_init("Cannot initialize the action more than once.")
            return
        name, main, code, binary, env, limit = "action", "main", b"", False, {}, 0
        for field, value in read_fields(data):
            if field == 1:
                name = value.decode()
            elif field == 2:
                main = value.decode() or "main"
            elif field == 3:
                code = value
            elif field == 4:
                binary = bool(value)
            elif field == 5:
                entry = dict(read_fields(value))
                env[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
            elif field == 6:
                self.concurrency = max(1, value)
            elif field == 7:
                limit = value
        self.log_limit = limit
        os.environ.update(env)
        self.only = Output(0, 1024 * 1024)
        problem = None
        try:
            self.main = self.load(name.split("/")[-1] or "action", main, code, binary)
            parameters = inspect.signature(self.main).parameters.values()
            positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            self.takes_context = len(positional) > 1 or any(p.kind == p.VAR_POSITIONAL for p in parameters)
            self.takes_params = len(positional) > 0 or any(p.kind == p.VAR_POSITIONAL for p in parameters)
        except SyntaxError as error:
            problem = "SyntaxError: %s (%s:%s)" % (error.msg, os.path.basename(error.filename or name), error.lineno)
        except BaseException as error:  # whatever user code raises while it is loaded
            traceback.print_exception(type(error), error, skip_own(error.__traceback__))
            problem = "%s: %s" % (type(error).__name__, error)
        logs = self.only.take(True)
        self.only = None
        if logs:
            self.link.send(logs)
        if problem is None:
            self.initialised = True
            if self.concurrency > 1:
                self.pool = ThreadPoolExecutor(self.concurrency)
            else:
                self.pool = ThreadPoolExecutor(1)
        self.answer_init(problem and "Initialization has failed due to: " + problem)

    def answer_init(self, problem):
        self.link.send(chunk(2, number(1, 0 if problem else 1) + (chunk(2, error_json(problem)) if problem else b"")))

    def load(self, name, main, code, binary):
        directory = tempfile.mkdtemp(prefix="action-", dir=self.work_dir)
        os.chdir(directory)
        sys.path.insert(0, directory)
        if binary:
            self.unzip(code, directory)
            path = os.path.join(directory, "__main__.py")
            if not os.path.exists(path):
                raise RuntimeError("the archive has no __main__.py")
            for packages in ("virtualenv/lib/python%d.%d/site-packages" % sys.version_info[:2], "packages"):
                if os.path.isdir(os.path.join(directory, packages)):
                    sys.path.insert(1, os.path.join(directory, packages))
        else:
            path = os.path.join(directory, name if name.endswith(".py") else name + ".py")
            with open(path, "wb") as file:
                file.write(code)
        with open(path, "rb") as file:
            compiled = compile(file.read(), path, "exec")
        scope = {"__name__": "__main__action__", "__file__": path}
        exec(compiled, scope)  # this is what a runtime is for
        found = scope
        for part in main.split("."):
            found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
        if not callable(found):
            names = sorted(k for k, v in scope.items() if inspect.isfunction(v))
            raise RuntimeError("no function \"%s\"; the code defines %s" % (main, ", ".join(names) or "no function"))
        return found

    @staticmethod
    def unzip(code, directory):
        try:
            archive = zipfile.ZipFile(io.BytesIO(code))
        except zipfile.BadZipFile:
            raise RuntimeError("the code is not a zip archive") from None
        entries = archive.infolist()
        if len(entries) > ENTRIES_MAX:
            raise RuntimeError("the archive has %d entries; at most %d are allowed" % (len(entries), ENTRIES_MAX))
        if sum(e.file_size for e in entries) > UNPACKED_BYTES_MAX:
            raise RuntimeError("the archive unpacks to more than %d bytes" % UNPACKED_BYTES_MAX)
        for entry in entries:
            target = os.path.normpath(os.path.join(directory, entry.filename))
            if target != directory and not target.startswith(directory + os.sep):
                raise RuntimeError("the archive's entry \"%s\" points outside of it" % entry.filename)
            if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                raise RuntimeError("the archive's entry \"%s\" is a symbolic link" % entry.filename)
            archive.extract(entry, directory)

    # ---- run ----

    def accept(self, data):
        run = {"call": 0, "params": b"", "activation_id": "", "namespace": "", "action_name": "", "action_version": "",
               "transaction_id": "", "remaining_ms": 0, "deadline": 0, "api_key": "", "traceparent": ""}
        names = {1: "call", 2: "params", 3: "activation_id", 4: "namespace", 5: "action_name", 6: "action_version",
                 7: "transaction_id", 8: "remaining_ms", 9: "deadline", 10: "api_key", 11: "traceparent"}
        for field, value in read_fields(data):
            name = names.get(field)
            if name is None:
                continue
            run[name] = value.decode() if isinstance(value, bytes) and name != "params" else value
        if self.main is None:
            self.finish(run["call"], Output(run["call"], 0), DEVELOPER_ERROR,
                        error_json("The action has not been initialized."))
            return
        self.pool.submit(self.run, run)

    def run(self, run):
        output = Output(run["call"], self.log_limit)
        context = Context(run)
        self.contexts[run["call"]] = context
        token = self.current.set(output)
        if self.concurrency == 1:
            self.only = output  # threads of user code print here too
        environ = os.environ
        for key in ("activation_id", "namespace", "action_name", "action_version", "transaction_id", "api_key"):
            if run[key]:
                environ["__OW_" + key.upper()] = run[key]
            else:
                environ.pop("__OW_" + key.upper(), None)
        environ["__OW_DEADLINE"] = str(run["deadline"])
        if run["traceparent"]:
            environ["WEFT_TRACEPARENT"] = run["traceparent"]
        outcome, result = DEVELOPER_ERROR, b""
        ends = False
        try:
            params = json.loads(run["params"] or b"{}")
            args = [params, context][:2 if self.takes_context else 1 if self.takes_params else 0]
            value = self.main(*args)
            if inspect.iscoroutine(value):
                value = self.wait_for(run["call"], value)
            if not isinstance(value, (dict, list, tuple)):
                result = error_json("The action did not return a dictionary or array.")
            elif isinstance(value, dict) and "error" in value:
                outcome, result = APPLICATION_ERROR, json.dumps({"error": value["error"]}).encode()
            else:
                result = json.dumps(value, allow_nan=False).encode()
                outcome = SUCCESS
        except SystemExit as error:
            ends = True
            result = error_json("The action exited with code %s." % error.code)
        except asyncio.CancelledError:
            outcome, result = APPLICATION_ERROR, error_json("The activation was cancelled.")
        except (TypeError, ValueError) as error:
            if from_own_json(error):
                outcome, result = DEVELOPER_ERROR, error_json(
                    "The action's result cannot be written as JSON: %s" % error)
            else:
                outcome, result = self.raised(error)
        except BaseException as error:  # whatever user code raises
            outcome, result = self.raised(error)
        self.finish(run["call"], output, outcome, result)
        self.contexts.pop(run["call"], None)
        self.current.reset(token)
        if self.only is output:
            self.only = None
        if ends:
            os._exit(0)

    @staticmethod
    def raised(error):
        traceback.print_exception(type(error), error, skip_own(error.__traceback__))
        return APPLICATION_ERROR, error_json(str(error) or type(error).__name__)

    def wait_for(self, call, coroutine):
        loop = asyncio.new_event_loop()
        try:
            task = loop.create_task(coroutine)
            self.tasks[call] = (loop, task)
            return loop.run_until_complete(task)
        finally:
            self.tasks.pop(call, None)
            loop.close()

    def cancel(self, data):
        call = dict(read_fields(data)).get(1, 0)
        context = self.contexts.get(call)
        if context:
            context.cancelled.set()
        task = self.tasks.get(call)
        if task:
            task[0].call_soon_threadsafe(task[1].cancel)

    def finish(self, call, output, outcome, result):
        messages = []
        for pending in (output.take(True), self.between.take(True)):
            if pending:
                messages.append(pending)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        messages.append(chunk(3, number(1, call) + number(2, outcome) + chunk(3, result)
                              + number(4, int(output.truncated)) + number(5, memory)))
        self.link.send(*messages)


def from_own_json(error):
    """True when the runtime's own json.dumps refused the value."""
    frames = traceback.extract_tb(error.__traceback__)
    return len(frames) > 1 and frames[0].filename == __file__ and "json" in frames[1].filename


def skip_own(tb):
    """The traceback without the runtime's own frames."""
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    return tb


def start():
    path = os.environ.pop("WEFT_SOCKET", None)
    if path is None:
        sys.stderr.write("WEFT_SOCKET is not set: this program is started by a Weft invoker\n")
        sys.exit(2)
    kind = os.environ.pop("WEFT_KIND", "python:%d.%d" % sys.version_info[:2])
    work_dir = os.environ.pop("WEFT_WORKDIR", None) or tempfile.gettempdir()
    os.makedirs(work_dir, exist_ok=True)
    runtime = Runtime(Link(path), work_dir, kind)
    sys.stdout = Stream(runtime, STDOUT)
    sys.stderr = Stream(runtime, STDERR)
    runtime.serve()


start()
