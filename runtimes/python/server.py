"""The python runtime: connects to its invoker, loads one action, runs it. See docs/runtime-contract.md.

Standard library only. The messages of weft.runtime.v1 are written by hand; unknown fields are skipped.
"""

import os
import queue
import socket
import struct
import sys
import threading
import time

# The rest is imported after hello, while nobody waits: see import_the_rest.

FRAME_BYTES_MAX = 64 * 1024 * 1024
LINE_CHARS_MAX = 64 * 1024
ENTRIES_MAX = 100_000
UNPACKED_BYTES_MAX = 512 * 1024 * 1024
# Bytes of log lines in one message, give or take a line.
LOGS_BYTES_MAX = 1024 * 1024
# Output between runs that is passed on, until the next run.
BETWEEN_BYTES_MAX = 64 * 1024
# A result above this is told without itself: a frame has to hold it. The invoker's own limit is far lower.
RESULT_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
EXCERPT_BYTES = 1024

# Time between two tries to connect again.
RECONNECT_EVERY_S = 0.1

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

    def __init__(self, path, patience_s):
        # Seconds to hold out without an invoker; 0: the end of its process is the end of the sandbox.
        self.path, self.patience_s = path, patience_s
        self.lock = threading.Lock()
        self.greeted = False
        self.connect()

    def connect(self):
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.connect(self.path)
        except OSError:
            opened.close()
            raise
        with self.lock:
            self.socket, self.reader = opened, opened.makefile("rb", 64 * 1024)

    def reconnect(self):
        """Returns False when nobody came back in time."""
        with self.lock:
            self.greeted = False
        self.reader.close()
        self.socket.close()
        until = time.monotonic() + self.patience_s
        while time.monotonic() < until:
            time.sleep(RECONNECT_EVERY_S)
            try:
                self.connect()
                return True
            except OSError:
                continue
        return False

    def send(self, message, greets=False):
        data = struct.pack(">I", len(message)) + message
        with self.lock:
            self.greeted |= greets
            if not self.greeted:
                return  # nobody is there to hear it, or the first word is not said
            try:
                self.socket.sendall(data)
            except OSError:
                if not self.patience_s:
                    os._exit(0)  # the end of the connection is the end of the sandbox

    def receive(self):
        try:
            head = self.reader.read(4)
        except OSError:
            return None
        if len(head) < 4:
            return None
        (length,) = struct.unpack(">I", head)
        if length > FRAME_BYTES_MAX:
            return None
        body = self.reader.read(length)
        return body if len(body) == length else None


def import_the_rest():
    """What only init and runs need; it doubles the time to hello."""
    global contextvars, inspect, io, json, resource, tempfile, traceback, zipfile, zlib
    import contextvars
    import inspect
    import io
    import json
    import resource
    import tempfile
    import traceback
    import zipfile
    import zlib


# ---- output ----

class Output:
    """What one run prints. Lines are sent as they end and not gathered: code that never lets go, or is killed, has said
    what it said."""

    def __init__(self, link, call, limit):
        self.link, self.call, self.limit = link, call, limit
        self.partial = {STDOUT: "", STDERR: ""}
        self.bytes, self.truncated = 0, False
        self.lock = threading.Lock()

    def write(self, stream, data):
        with self.lock:
            rest = self.partial[stream] + data
            lines, start = [], 0
            while not self.truncated:
                cut = rest.find("\n", start)
                if 0 <= cut <= start + LINE_CHARS_MAX:
                    self._keep(lines, stream, rest[start:cut])
                    start = cut + 1
                elif len(rest) - start > LINE_CHARS_MAX:
                    self._keep(lines, stream, rest[start:start + LINE_CHARS_MAX])
                    start += LINE_CHARS_MAX
                else:
                    break
            self.partial[stream] = "" if self.truncated else rest[start:]
            self._send(lines)

    def end(self):
        """Sends what was printed without a line end."""
        with self.lock:
            lines = []
            for stream in (STDOUT, STDERR):
                if self.partial[stream]:
                    self._keep(lines, stream, self.partial[stream])
                    self.partial[stream] = ""
            self._send(lines)

    def renew(self):
        with self.lock:
            self.bytes, self.truncated = 0, False

    def _keep(self, lines, stream, line):
        encoded = line.encode("utf-8", "replace")
        if self.truncated or self.bytes + len(encoded) + 1 > self.limit:
            self.truncated = True
            return
        self.bytes += len(encoded) + 1
        lines.append(chunk(2, number(1, stream) + number(2, time.time_ns()) + chunk(3, encoded)))

    def _send(self, lines):
        # Several messages when one would be too large.
        while lines:
            size = count = 0
            while count < len(lines) and size < LOGS_BYTES_MAX:
                size += len(lines[count])
                count += 1
            self.link.send(chunk(4, number(1, self.call) + b"".join(lines[:count])))
            lines = lines[count:]


class Stream:
    """Stands in for sys.stdout and sys.stderr."""

    encoding, errors, newlines, closed = "utf-8", "replace", None, False
    line_buffering = True

    def __init__(self, runtime, stream):
        self.runtime, self.stream = runtime, stream
        self.buffer = Bytes(self)

    def write(self, data):
        if not isinstance(data, str):
            raise TypeError("write() argument must be str, not %s" % type(data).__name__)
        self.runtime.output().write(self.stream, data)
        return len(data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def fileno(self):
        return self.stream  # 1 and 2: for children that are given this stream as theirs

    def flush(self):
        pass

    def close(self):
        pass

    def isatty(self):
        return False

    def readable(self):
        return False

    def writable(self):
        return True

    def seekable(self):
        return False

    def reconfigure(self, **_):
        pass


class Bytes:
    """The `buffer` of such a stream."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, data):
        self.stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def flush(self):
        pass


# ---- runs ----

class Context:
    """Handed to a main that takes a second argument."""

    def __init__(self, run):
        self.activation_id = run["activation_id"]
        self.deadline_wall_ms = run["deadline"]
        self.traceparent = run["traceparent"]
        self.cancelled = threading.Event()
        self.cancel_reason = ""
        self._ends = time.monotonic() + run["remaining_ms"] / 1000

    def remaining_ms(self):
        return max(0, int((self._ends - time.monotonic()) * 1000))


def json_bytes(value):
    """As short as JavaScript's, so that arguments that fit fit as a result. Half of a surrogate pair, for which UTF-8 has
    no bytes, is escaped, and everything else outside of ASCII with it."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def error_json(error):
    """Whatever the error is: what JSON cannot say is told as text."""
    try:
        return json_bytes({"error": error})
    except (TypeError, ValueError, RecursionError):
        return json_bytes({"error": str(error)})


class UnfitResult(Exception):
    """The result cannot be written as JSON."""


class Runtime:
    def __init__(self, link, work_dir, kind, inspect_port):
        self.link, self.work_dir, self.kind = link, work_dir, kind
        self.inspect_port = inspect_port  # where a debugger is waited for; 0: nowhere
        self.pid = os.getpid()
        self.main = None
        self.directory = None
        self.takes = 0
        self.concurrency = 1
        self.log_limit = 0
        self.current = None
        self.between = Output(link, 0, BETWEEN_BYTES_MAX)
        self.only = None
        self.contexts = {}
        self.tasks = {}
        self.pool = None
        self.loops = threading.local()
        self.inbox = queue.SimpleQueue()
        # Inits and runs that are not answered. Only what is idle outlives its invoker.
        self.outstanding = 0
        self.counting = threading.Lock()

    def count(self, by):
        with self.counting:
            self.outstanding += by

    def output(self):
        return self.only or (self.current and self.current.get()) or self.between

    def forked(self):
        """A child of ours is not the runtime: it must not hold the connection open, nor write into it."""
        self.link.socket.close()
        sys.stdout = open(STDOUT, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
        sys.stderr = open(STDERR, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)

    def serve(self):
        """User code runs on the main thread, where signals and most libraries want it; another one reads."""
        threading.Thread(target=self.read, name="weft", daemon=True).start()
        import_the_rest()
        self.current = contextvars.ContextVar("weft_output", default=None)
        while True:
            act, data = self.inbox.get()
            act(data)

    def read(self):
        self.greet(b"")
        while True:
            frame = self.link.receive()
            if frame is None:
                if self.outstanding or not self.link.reconnect():
                    os._exit(0)
                self.greet(chunk(5, number(1, int(self.main is not None))))
                continue
            for field, value in read_fields(frame):
                if field == 1:
                    self.count(1)
                    self.inbox.put((self.init, value))
                elif field == 2:
                    self.accept(value)
                elif field == 3:
                    self.cancel(value)
                else:
                    os._exit(3)  # a message of a newer protocol: doing part of it would be worse

    def greet(self, resumed):
        version = "%d.%d.%d" % sys.version_info[:3]
        reconnects = number(4, int(self.link.patience_s > 0))
        hello = chunk(1, text(1, self.kind) + text(2, version) + number(3, 1) + reconnects + resumed)
        self.link.send(hello, greets=True)

    # ---- init ----

    def init(self, data):
        if self.main is not None:
            self.answer_init("Cannot initialize the action more than once.")
            return
        name, main, code, binary, env, concurrency = "action", "main", b"", False, {}, 1
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
                concurrency = max(1, value)
            elif field == 7:
                self.log_limit = value
        self.only = Output(self.link, 0, self.log_limit)
        problem = found = None
        try:
            os.environ.update(env)
            if not code:
                raise Unloadable("Missing main/no code to execute.")
            stop_in = wait_for_debugger(self.inspect_port) if self.inspect_port else None
            found = self.load(name.split("/")[-1] or "action", main, code, binary)
            self.takes = parameters_of(found)
            if stop_in:
                found = stop_in(found)
        except Unloadable as error:
            problem = str(error)
            self.only.write(STDERR, problem + "\n")
        except SyntaxError as error:
            sys.stderr.write(self.readable(traceback.format_exception_only(type(error), error)))
            where = os.path.basename(error.filename or name)
            problem = "%s: %s (%s:%s)" % (type(error).__name__, error.msg, where, error.lineno)
        except BaseException as error:  # whatever user code raises while it is loaded
            self.print_trace(error)
            problem = "%s: %s%s" % (type(error).__name__, error, self.place_of(error))
        self.only.end()
        self.only = None
        if problem is None:
            self.concurrency = concurrency
            if concurrency > 1:
                from concurrent.futures import ThreadPoolExecutor
                self.pool = ThreadPoolExecutor(concurrency, "run")
            self.main = found
        self.answer_init(problem and "Initialization has failed due to: " + problem)

    def print_trace(self, error):
        sys.stderr.write(self.readable(traceback.format_exception(type(error), error, skip_own(error.__traceback__))))

    def readable(self, lines):
        """With the action's own files named as in its archive."""
        trace = "".join(lines)
        return trace.replace(self.directory + os.sep, "") if self.directory else trace

    def place_of(self, error):
        """" (file:line)" of the action's own frame that an error comes from; "" when there is none."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if self.directory and frame.filename.startswith(self.directory + os.sep):
                return " (%s:%d)" % (frame.filename[len(self.directory) + 1:], frame.lineno)
        return ""

    def answer_init(self, problem):
        self.link.send(chunk(2, number(1, 0 if problem else 1) + (chunk(2, error_json(problem)) if problem else b"")))
        self.count(-1)

    def load(self, name, main, code, binary):
        directory = self.directory = tempfile.mkdtemp(prefix="action-", dir=self.work_dir)
        os.chdir(directory)
        sys.path.insert(0, directory)
        if binary:
            if code[:2] == b"\x1f\x8b":
                self.untar(code, directory)
            else:
                self.unzip(code, directory)
            path = os.path.join(directory, "__main__.py")
            if not os.path.exists(path):
                raise Unloadable("the archive has no __main__.py")
            for packages in self.package_directories(directory):
                sys.path.insert(1, packages)
        else:
            path = os.path.join(directory, name if name.endswith(".py") else name + ".py")
            with open(path, "wb") as file:
                file.write(code)
        with open(path, "rb") as file:
            compiled = compile(file.read(), path, "exec")
        # A module of its own, so that dataclasses, pickle and the like find what it defines.
        module = type(sys)("__main__action__")
        module.__file__ = path
        sys.modules[module.__name__] = module
        scope = module.__dict__
        exec(compiled, scope)  # this is what a runtime is for
        found = scope
        for part in main.split("."):
            found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
        if not callable(found):
            names = sorted(k for k, v in scope.items() if inspect.isfunction(v))
            raise Unloadable("no function \"%s\"; the code defines %s" % (main, ", ".join(names) or "no function"))
        return found

    @staticmethod
    def package_directories(directory):
        """Where archives keep what they need: a virtual environment of this Python, else of any; or a plain folder."""
        exact = os.path.join(directory, "virtualenv/lib/python%d.%d/site-packages" % sys.version_info[:2])
        if os.path.isdir(exact):
            yield exact
        else:
            lib = os.path.join(directory, "virtualenv/lib")
            for version in sorted(os.listdir(lib)) if os.path.isdir(lib) else ():
                if os.path.isdir(os.path.join(lib, version, "site-packages")):
                    yield os.path.join(lib, version, "site-packages")
        if os.path.isdir(os.path.join(directory, "packages")):
            yield os.path.join(directory, "packages")

    @staticmethod
    def target_of(directory, name):
        target = os.path.normpath(os.path.join(directory, name))
        if target != directory and not target.startswith(directory + os.sep):
            raise Unloadable("the archive's entry \"%s\" points outside of it" % name)
        return target

    @staticmethod
    def symlink(directory, name, target, to):
        inside = os.path.normpath(os.path.join(os.path.dirname(target), to)).startswith(directory + os.sep)
        if inside and not os.path.isabs(to):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(to, target)
        elif not name.removeprefix("./").startswith("virtualenv/"):
            # virtualenv/bin/python points to the Python that made it; nothing here needs it.
            raise Unloadable("the archive's entry \"%s\" is a symbolic link that points outside" % name)

    def untar(self, code, directory):
        """Entry by entry, so that it needs little memory however large it becomes."""
        import shutil
        import tarfile
        count = total = 0
        try:
            with tarfile.open(fileobj=io.BytesIO(code), mode="r|gz") as archive:
                for entry in archive:
                    count, total = count + 1, total + entry.size
                    if count > ENTRIES_MAX:
                        raise Unloadable("the archive has more than %d entries" % ENTRIES_MAX)
                    if total > UNPACKED_BYTES_MAX:
                        raise Unloadable("the archive unpacks to more than %d bytes" % UNPACKED_BYTES_MAX)
                    target = self.target_of(directory, entry.name)
                    if entry.isdir():
                        os.makedirs(target, exist_ok=True)
                    elif entry.issym():
                        self.symlink(directory, entry.name, target, entry.linkname)
                    elif entry.islnk():
                        # One file with two names is as good as two files.
                        os.makedirs(os.path.dirname(target), exist_ok=True)
                        shutil.copy(self.target_of(directory, entry.linkname), target)
                    elif entry.isfile():
                        os.makedirs(os.path.dirname(target), exist_ok=True)
                        with archive.extractfile(entry) as source, open(target, "wb") as file:
                            shutil.copyfileobj(source, file, 1024 * 1024)
                        os.chmod(target, 0o755 if entry.mode & 0o111 else 0o644)
                    else:
                        raise Unloadable("the archive's entry \"%s\" is of a type that is not supported" % entry.name)
        except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
            raise Unloadable("the archive is damaged: %s" % error) from None
        if count == 0:
            raise Unloadable("the archive has no entries")

    def unzip(self, code, directory):
        try:
            archive = zipfile.ZipFile(io.BytesIO(code))
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise Unloadable("the code is not a zip archive") from None
        entries = archive.infolist()
        if len(entries) > ENTRIES_MAX:
            raise Unloadable("the archive has %d entries; at most %d are allowed" % (len(entries), ENTRIES_MAX))
        if sum(e.file_size for e in entries) > UNPACKED_BYTES_MAX:
            raise Unloadable("the archive unpacks to more than %d bytes" % UNPACKED_BYTES_MAX)
        for entry in entries:
            mode = entry.external_attr >> 16
            target = self.target_of(directory, entry.filename)
            try:
                if mode & 0o170000 == 0o120000:
                    self.symlink(directory, entry.filename, target, archive.read(entry).decode())
                    continue
                archive.extract(entry, directory)
            except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
                raise Unloadable("the archive's entry \"%s\" is damaged: %s" % (entry.filename, error)) from None
            if mode & 0o111 and not entry.is_dir():
                os.chmod(target, 0o755)

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
        self.contexts[run["call"]] = Context(run)
        self.count(1)
        self.inbox.put((self.begin, run))

    def begin(self, run):
        if self.main is None:
            self.contexts.pop(run["call"], None)
            self.finish(run["call"], Output(self.link, run["call"], 0), DEVELOPER_ERROR,
                        error_json("The action has not been initialized."))
        elif self.pool:
            self.pool.submit(self.run, run)
        else:
            self.run(run)

    def run(self, run):
        call = run["call"]
        output = Output(self.link, call, self.log_limit)
        self.between.renew()
        token = None
        if self.concurrency == 1:
            self.only = output  # threads of user code print here too
        else:
            token = self.current.set(output)
        self.set_environment(run)
        ends = None
        outcome = DEVELOPER_ERROR
        try:
            params = json.loads(run["params"] or b"{}")
            value = self.main(*(params, self.contexts[call])[:self.takes])
            if hasattr(type(value), "__await__"):
                value = self.wait_for(call, value)
            outcome, result = self.judge(value)
        except SystemExit as error:
            ends = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
            result = error_json("The action exited with code %s." % ends)
        except UnfitResult as error:
            result = error_json("The action's result cannot be written as JSON: %s" % error)
        except BaseException as error:  # whatever user code raises: its own answer
            outcome, result = self.raised(call, error)
        if os.getpid() != self.pid:
            os._exit(0)  # a child that user code forked and let return
        self.contexts.pop(call, None)
        self.finish(call, output, outcome, result)
        if token:
            self.current.reset(token)
        else:
            self.only = None
        if ends is not None:
            os._exit(ends & 255)

    @staticmethod
    def judge(value):
        if not isinstance(value, (dict, list, tuple)):
            return DEVELOPER_ERROR, error_json("The action did not return a dictionary or array.")
        try:
            if isinstance(value, dict) and "error" in value:
                return APPLICATION_ERROR, json_bytes({"error": value["error"]})
            return SUCCESS, json_bytes(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise UnfitResult(str(error)) from None

    def raised(self, call, error):
        asyncio = sys.modules.get("asyncio")
        if asyncio and isinstance(error, asyncio.CancelledError) and self.contexts[call].cancelled.is_set():
            return APPLICATION_ERROR, error_json("The activation was cancelled.")
        self.print_trace(error)
        return APPLICATION_ERROR, error_json(str(error) or type(error).__name__)

    @staticmethod
    def set_environment(run):
        environ = os.environ
        for key in ("activation_id", "namespace", "action_name", "action_version", "transaction_id", "api_key"):
            if run[key]:
                environ["__OW_" + key.upper()] = run[key]
            else:
                environ.pop("__OW_" + key.upper(), None)
        environ["__OW_DEADLINE"] = str(run["deadline"])
        if run["traceparent"]:
            environ["WEFT_TRACEPARENT"] = run["traceparent"]
        else:
            environ.pop("WEFT_TRACEPARENT", None)

    def wait_for(self, call, awaitable):
        """One loop per thread for all its runs: what libraries keep on it, such as connections, stays usable."""
        import asyncio
        loop = getattr(self.loops, "loop", None)
        if loop is None or loop.is_closed():
            loop = self.loops.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)

        async def awaited():
            return await awaitable

        task = loop.create_task(awaited())
        self.tasks[call] = (loop, task)
        if self.contexts[call].cancelled.is_set():
            task.cancel(self.contexts[call].cancel_reason)
        try:
            return loop.run_until_complete(task)
        finally:
            self.tasks.pop(call, None)

    def cancel(self, data):
        fields = dict(read_fields(data))
        call = fields.get(1, 0)
        context = self.contexts.get(call)
        if not context:
            return
        context.cancel_reason = fields.get(2, b"").decode()
        context.cancelled.set()
        waiting = self.tasks.get(call)
        if waiting:
            loop, task = waiting
            try:
                loop.call_soon_threadsafe(task.cancel, context.cancel_reason)
            except RuntimeError:
                pass  # user code has closed the loop: the run is about to end

    def finish(self, call, output, outcome, result):
        output.end()
        if len(result) > RESULT_BYTES_MAX:
            outcome = APPLICATION_ERROR
            result = error_json("The action produced a response that exceeded the allowed length: %d > 1048576 bytes. "
                                "The truncated response was: %s" % (len(result), result[:EXCERPT_BYTES].decode("utf-8", "replace")))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self.link.send(chunk(3, number(1, call) + number(2, outcome) + chunk(3, result)
                             + number(4, int(output.truncated)) + number(5, memory)))
        self.count(-1)


class Unloadable(Exception):
    """The code is not what it should be; the message says how."""


def parameters_of(function):
    """How many of (params, context) a function takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1  # built in: it does not say
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return 2
    # A second argument with a default is the user's own.
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    wanted = [p for p in positional if p.default is p.empty or p.name == "context"]
    return min(2, max(len(wanted), min(1, len(positional))))


def wait_for_debugger(port):
    """Returns when a debugger is there: how to stop in a function. debugpy where it is installed, else pdb over a socket."""
    try:
        import debugpy
    except ImportError:
        return wait_for_pdb(port)
    debugpy.listen(("127.0.0.1", port))
    sys.stderr.write("debugpy listens on 127.0.0.1:%d\n" % port)
    debugpy.wait_for_client()
    return lambda function: stopping(function, debugpy.breakpoint)


def wait_for_pdb(port):
    import pdb
    with socket.create_server(("127.0.0.1", port)) as listener:
        sys.stderr.write("pdb listens on 127.0.0.1:%d: nc 127.0.0.1 %d    (debugpy is not installed)\n" % (port, port))
        talk = listener.accept()[0]
    # Two files: one for both ways forgets what it has read ahead whenever it writes.
    says, hears = talk.makefile("w", encoding="utf-8"), talk.makefile("r", encoding="utf-8")
    debugger = pdb.Pdb(stdin=hears, stdout=says, nosigint=True)

    def stop_in(function):
        if inspect.iscoroutinefunction(function):
            return stopping(function, debugger.set_trace)

        def stopped(*args):
            value = debugger.runcall(function, *args)
            if getattr(debugger, "_user_requested_quit", False):
                raise RuntimeError("the debugger ended the run")
            return value
        return stopped
    return stop_in


def stopping(function, stop):
    """The function, with a stop right before it: a step goes into it."""
    if inspect.iscoroutinefunction(function):
        async def stopped(*args):
            stop()
            return await function(*args)
        return stopped

    def stopped(*args):
        stop()
        return function(*args)
    return stopped


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
    work_dir = os.environ.pop("WEFT_WORKDIR", None) or "/tmp"
    patience_s = int(os.environ.pop("WEFT_RECONNECT_MS", None) or 0) / 1000
    os.makedirs(work_dir, exist_ok=True)
    inspect_port = int(os.environ.pop("WEFT_INSPECT", "0"))
    runtime = Runtime(Link(path, patience_s), work_dir, kind, inspect_port)
    sys.stdout = Stream(runtime, STDOUT)
    sys.stderr = Stream(runtime, STDERR)
    os.register_at_fork(after_in_child=runtime.forked)
    runtime.serve()


start()
