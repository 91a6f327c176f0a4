# Ways out of a sandbox, tried one by one. An action of kind python, because ctypes reaches every system call.
#
# main({"wall": name, ...}) tries the probes of one wall and returns, for each, "stopped", "absent" (the machine has no such
# thing to reach) or what it got through to. escape.test.ts runs the same probes in a container with no walls at all, where
# each must get through: a probe that cannot succeed shows nothing.

import ctypes
import errno
import glob
import json
import os
import platform
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"
REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)
NOBODY = 65532
NAMESPACES = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
WALLS = {}


def main(params):
    results = {}
    for name, probe in WALLS[params["wall"]](params):
        try:
            results[name] = probe()
        except OSError as error:
            results[name] = "absent" if error.errno == errno.ENOENT else "stopped"
    return results


def wall(collect):
    WALLS[collect.__name__] = collect
    return collect


# ---- what the host and the image have on disk ----


@wall
def files(params):
    for path in params["hostFiles"]:
        yield f"read {path}", lambda path=path: through(os.stat(path) and path)
    # A foreign image may write to its own root, which ends with it; never to what the launcher brings.
    image = ["/", "/etc", "/usr/bin", "/home", "/root", "/run", "/var/tmp", "/weft", "/weft/runtime", "/dev"]
    for path in ["/weft/link", "/weft/launcher"] if params.get("foreign") else image:
        yield f"write to {path}", lambda path=path: write_new(path)
    yield "remount the root", lambda: syscall(165, 40, b"none", b"/", b"none", 0x20 | 0x1000, None)
    if not params.get("foreign"):
        yield "set a time in the image", lambda: through(os.utime("/etc/passwd") is None and "set")
        yield "leave a program for others", lambda: through(os.chmod("/usr/bin/env", 0o4755) is None and "set")


def write_new(directory):
    path = os.path.join(directory, "escape")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink(path)
    return f"wrote {path}"


# ---- whom it can talk to ----


@wall
def network(params):
    yield "ports of this machine", lambda: reach(params["ports"])
    yield "another sandbox", lambda: reach(params["neighbours"])
    yield "a metadata address", lambda: reach(params["metadata"])
    yield "a datagram to this machine", lambda: datagram(params["datagram"])
    names = ["\0" + params["abstract"], ("\0" + params["abstract"]).ljust(108, "\0")]
    yield "abstract sockets of this machine", lambda: first(reach_unix, names)
    yield "sockets in the file system", lambda: first(reach_unix, sockets_in(params))
    yield "interfaces of this machine", lambda: through(
        ", ".join(name for _, name in socket.if_nameindex() if name not in ("lo", "eth0"))
    )
    yield "IPv6", lambda: through(
        [line for line in read("/proc/net/if_inet6").splitlines() if not line.endswith(" lo")]
    )
    yield "a raw socket", lambda: opens_socket(socket.AF_INET, socket.SOCK_RAW, 1)
    yield "a packet socket", lambda: opens_socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300)
    for name, family in [("key", 15), ("rds", 21), ("can", 29), ("tipc", 30), ("bluetooth", 31)]:
        yield f"a socket of family {name}", lambda family=family: opens_socket(family, socket.SOCK_DGRAM, 0)
    for name, family in [("alg", 38), ("vsock", 40), ("qipcrtr", 42), ("xdp", 44)]:
        yield f"a socket of family {name}", lambda family=family: opens_socket(family, socket.SOCK_STREAM, 0)


def reach(addresses):
    """All at once, because what is dropped answers nothing."""
    waiting = {}
    for address in addresses:
        host, _, port = address.rpartition(":")
        one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        one.setblocking(False)
        if one.connect_ex((host, int(port))) in (0, errno.EINPROGRESS):
            waiting[one] = address
    until = time.monotonic() + 1.5
    while waiting and time.monotonic() < until:
        _, writable, _ = select.select([], waiting, [], until - time.monotonic())
        for one in writable:
            address = waiting.pop(one)
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                return f"connected to {address}"
    return "stopped"


def datagram(addresses):
    for address in addresses:
        host, _, port = address.rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(0.5)
            try:
                one.connect((host, int(port)))
                one.send(b"hello")
                one.recv(16)
                return f"answered by {address}"
            except OSError:
                pass
    return "stopped"


def sockets_in(params):
    found = [params["dockerSocket"]]
    for directory in ["/weft/link", "/run", "/var/run", "/tmp"]:
        for at, _, names in os.walk(directory):
            paths = [os.path.join(at, name) for name in names]
            found += [path for path in paths if stat.S_ISSOCK(os.lstat(path).st_mode)]
    return found


def reach_unix(name):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(name)
    return f"connected to {name!r}"


def opens_socket(family, kind, protocol):
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        if error.errno in REFUSED:
            return "stopped"
        return f"the kernel answered {error.strerror}"  # of a family that it does not have, but was let ask
    return "opened"


# ---- other processes ----


@wall
def processes(params):
    yield "others' environment", lambda: through([p for p in pids() if params["marker"] in read(f"/proc/{p}/environ")])
    yield "others' files", lambda: through(
        [f"/proc/{p}/root{f}" for p in pids() for f in params["hostFiles"] if exists(f"/proc/{p}/root{f}")]
    )
    yield "many processes", lambda: through(len(pids()) > 20 and f"{len(pids())} processes")
    yield "System V memory of others", lambda: through(read("/proc/sysvipc/shm").splitlines()[1:])
    yield "shared memory of others", lambda: through(os.stat(params["sharedMemory"]) and "there")
    yield "ptrace", ptrace_child
    iov = ctypes.create_string_buffer(16)
    yield "read another's memory", lambda: syscall(310, 270, os.getpid(), iov, 0, iov, 0, 0)
    yield "take another's descriptor", lambda: syscall(438, 438, -1, 0, 0)
    yield "compare with another", lambda: syscall(312, 272, os.getpid(), os.getpid(), 2, 0, 0)


def ptrace_child():
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    try:
        return syscall(101, 117, 0x4206, child, 0, 0)  # PTRACE_SEIZE
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# ---- more rights ----


@wall
def privileges(params):
    status = dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines())
    yield "capabilities", lambda: through(
        [f"{name} {status[name]}" for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb") if int(status[name], 16)]
    )
    if not params.get("foreign"):
        yield "become root", lambda: in_child(lambda: os.setresuid(0, 0, 0))
    yield "become somebody", lambda: in_child(lambda: os.setresuid(1, 1, 1))
    yield "join the group of root", lambda: in_child(lambda: os.setgroups([0]))
    yield "a set-user-id program", set_user_id_program
    yield "mount", lambda: in_child(lambda: check(syscall(165, 40, b"none", b"/mnt", b"tmpfs", 0, None)))
    yield "the newer mount", lambda: syscall(430, 430, b"tmpfs", 0)
    yield "copy a mount", lambda: syscall(428, 428, -100, b"/", 1)
    yield "unmount", lambda: in_child(lambda: check(syscall(166, 39, b"/proc/sys", 2)))
    yield "another root", lambda: in_child(lambda: os.chroot("/tmp"))
    yield "pivot_root", lambda: syscall(155, 41, b"/tmp", b"/tmp")
    for name, flag in NAMESPACES.items():
        yield f"unshare {name}", lambda flag=flag: in_child(lambda: check(syscall(272, 97, flag)))
        yield f"clone {name}", lambda flag=flag: clone(flag)
    yield "clone3", lambda: syscall(435, 435, None, 0)
    yield "enter a namespace", lambda: in_child(enter_namespace)
    for name, mode in [("block", stat.S_IFBLK), ("character", stat.S_IFCHR)]:
        yield f"make a {name} device", lambda mode=mode: make_device(mode)
    for path in ["/dev/mem", "/dev/kmsg", "/dev/port", "/dev/kvm", "/dev/fuse", "/dev/vsock", "/dev/net/tun", "/dev/loop-control"]:
        yield f"open {path}", lambda path=path: opens(path)
    yield "open a disk", lambda: first(opens, [f"/dev/{disk}" for disk in os.listdir("/sys/block")])
    yield "more than its open files", lambda: in_child(lambda: raise_limit(resource.RLIMIT_NOFILE, 2_048))
    yield "core dumps", lambda: in_child(lambda: raise_limit(resource.RLIMIT_CORE, 1 << 20))
    yield "a better share of the processor", lambda: in_child(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
    yield "a better share of the disk", lambda: in_child(lambda: check(syscall(251, 30, 1, 0, 1 << 13)))
    yield "live when memory is out", lambda: in_child(lambda: write("/proc/self/oom_score_adj", "-1000"))


def set_user_id_program():
    """As nobody, also where the probes run as root."""

    def child():
        if os.getuid() == 0:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        started = subprocess.Popen(["su"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 0.5
            while time.monotonic() < until and started.poll() is None:
                effective = read(f"/proc/{started.pid}/status").partition("\nUid:\t")[2].split("\t")[1:2]
                if effective == ["0"]:
                    return
                time.sleep(0.01)
        finally:
            started.kill()
        raise PermissionError(errno.EPERM, "no")

    return in_child(child)


def clone(flag):
    pid = LIBC.syscall(220 if ARM else 56, flag | signal.SIGCHLD, None, None, None, None)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        return answer(ctypes.get_errno())
    os.waitpid(pid, 0)
    return "cloned"


def enter_namespace():
    descriptor = os.open("/proc/self/ns/uts", os.O_RDONLY)  # its own: any other needs more than the right to enter
    check(syscall(308, 268, descriptor, 0))


def make_device(mode):
    path = "/tmp/device"
    os.mknod(path, mode | 0o600, os.makedev(1, 5))
    os.unlink(path)
    return f"made {path}"


def raise_limit(limit, value):
    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, hard))


# ---- the kernel ----

# Each with arguments that a kernel that lets them in finds wrong, so that nothing happens.
CALLS = {
    "bpf": (321, 280, 0, None, 0),
    "perf_event_open": (298, 241, None, 0, 0, 0, 0),
    "io_uring_setup": (425, 425, 0, None),
    "keyctl": (250, 219, 0, -3, 0),
    "add_key": (248, 217, None, None, None, 0, 0),
    "request_key": (249, 218, None, None, None, 0),
    "userfaultfd": (323, 282, 0xFFFF),
    "kexec_load": (246, 104, 0, 0, None, 0xFFFF),
    "kexec_file_load": (320, 294, -1, -1, 0, None, 0xFFFF),
    "init_module": (175, 105, None, 0, None),
    "finit_module": (313, 273, -1, None, 0),
    "delete_module": (176, 106, None, 0),
    "reboot": (169, 142, 0, 0, 0, None),
    "swapon": (167, 224, None, 0),
    "swapoff": (168, 225, None),
    "clock_settime": (227, 112, 0, None),
    "settimeofday": (164, 170, 1, None),
    "acct": (163, 89, 1),
    "quotactl": (179, 60, -1, None, 0, None),
    "syslog": (103, 116, 10, None, 0),
    "open_by_handle_at": (304, 265, -1, None, 0),
    "name_to_handle_at": (303, 264, -1, None, None, None, 0),
    "fanotify_init": (300, 262, 0xFFFF, 0),
    "move_pages": (279, 239, 0, 0, None, None, None, 0),
    "sethostname": (170, 161, b"escape", 6),
    "setdomainname": (171, 162, b"escape", 6),
}
WRITTEN = [
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/panic",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
    "/sys/module/printk/parameters/time",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/fs/cgroup/pids/cgroup.procs",
    "/sys/fs/cgroup/devices/devices.allow",
    "/sys/fs/cgroup/freezer/cgroup.procs",
]
SECRET = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/interrupts",
    "/proc/kpagecount",
    "/proc/kmsg",
    "/proc/kpageflags",
    "/proc/pressure",
    "/proc/slabinfo",
    "/sys/kernel/slab/dentry/objects",
    "/proc/vmallocinfo",
    "/proc/pagetypeinfo",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]


@wall
def kernel(params):
    for name, (number, arm, *arguments) in CALLS.items():
        yield name, lambda number=number, arm=arm, arguments=arguments: syscall(number, arm, *arguments)
    for path in WRITTEN:
        yield f"write {path}", lambda path=path: opens(path, os.O_WRONLY)
    for path in SECRET:
        yield f"read {path}", lambda path=path: reads(path)
    yield "addresses of the kernel", lambda: through(int(read("/proc/kallsyms").partition(" ")[0] or "0", 16) and "told")


# ---- more than its share ----


@wall
def limits(params):
    if params["processes"] <= 256:  # more of them need more memory than a small sandbox has; threads do not
        yield "more processes than its limit", lambda: fork_many(params["processes"] + 50)
    yield "more threads than its limit", lambda: in_child(lambda: start_threads(params["processes"] + 50))
    yield "more files than its limit", lambda: open_many(1_100)
    yield "more than there is in /tmp", lambda: fill("/tmp", params["tmpBytes"])


def fork_many(wanted):
    children = []
    try:
        for _ in range(wanted):
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            children.append(child)
        return f"{wanted} processes"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def start_threads(wanted):
    import threading

    for _ in range(wanted):
        try:
            threading.Thread(target=time.sleep, args=(10,), daemon=True).start()
        except RuntimeError as error:
            raise PermissionError(errno.EPERM, str(error)) from None


def open_many(wanted):
    descriptors = []
    try:
        for _ in range(wanted):
            descriptors.append(os.open("/dev/null", os.O_RDONLY))
        return f"{wanted} files"
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def fill(directory, size):
    path = os.path.join(directory, "full")
    piece = bytes(1 << 20)
    try:
        with open(path, "wb", buffering=0) as file:
            for _ in range((size >> 20) + 1):
                if file.write(piece) < len(piece):
                    return "stopped"
        return f"{size} bytes"
    finally:
        os.unlink(path)


# ---- what is shared by everybody of the same user ----

HELD = []


@wall
def take_inotify(params):
    """As many as there are to be had, kept until the sandbox ends."""

    def take():
        while len(HELD) < 1_000:
            descriptor = LIBC.inotify_init1(0)
            if descriptor < 0:
                break
            HELD.append(descriptor)
        return f"{len(HELD)}"

    yield "taken", take


@wall
def use_inotify(params):
    def use():
        descriptor = LIBC.inotify_init1(0)
        if descriptor < 0:
            return "stopped"
        os.close(descriptor)
        return "there is one"

    yield "one of its own", use


# ---- tools ----


def syscall(number, arm, *arguments):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(arm if ARM else number, *wide)
    return answer(ctypes.get_errno()) if result == -1 else f"returned {result}"


def answer(error):
    if error in REFUSED:
        return "stopped"
    if error == errno.ENOSYS:
        return "absent"
    return f"the kernel answered {errno.errorcode.get(error, error)}"


def check(what):
    if what in ("stopped", "absent"):
        raise OSError(errno.EPERM if what == "stopped" else errno.ENOENT, what)


def in_child(act):
    """What changes the process that does it is done by another."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            act()
            said = "done"
        except OSError as error:
            said = "absent" if error.errno == errno.ENOENT else "stopped"
        except BaseException as error:
            said = "stopped" if isinstance(error, ValueError) else f"failed: {error!r}"  # ValueError: above a hard limit
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def first(act, choices):
    """The first that works."""
    met = "absent"
    for choice in choices:
        try:
            return act(choice)
        except OSError as error:
            if error.errno != errno.ENOENT:
                met = "stopped"
    return met


def through(found):
    return str(found) if found else "stopped"


def opens(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags | os.O_NONBLOCK))
    return f"opened {path}"


def reads(path):
    if os.path.isdir(path):
        return through(os.listdir(path))
    with open(path, "rb", buffering=0) as file:
        return through(len(file.read(64) or b""))


def read(path):
    try:
        with open(path, encoding="latin1") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def exists(path):
    try:
        return bool(os.stat(path))
    except OSError:
        return False


def pids():
    return [name for name in os.listdir("/proc") if name.isdigit() and name != str(os.getpid())]


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
