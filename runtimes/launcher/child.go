package main

// Children: started, read from, signalled and reaped. We may be process 1, so that orphans of user code are ours to reap as
// well; therefore one place waits for all of them, and nothing here uses os/exec, which waits by itself.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// pipeBytes is what a pipe holds: reading so much after an answer has read all that was printed before it.
const pipeBytes = 64 * 1024

const prSetChildSubreaper = 36

type child struct {
	pid int
	// exited is closed when it has ended and been reaped; status and maxRSS tell how from then on.
	exited chan struct{}
	status syscall.WaitStatus
	maxRSS uint64
	// stdin is nil when it has none.
	stdin *os.File
	// answers is file descriptor 3 of the child; nil when it has none.
	answers *os.File
	grouped bool

	streams [3]*os.File
	mutex   sync.Mutex // guards reading of both streams, and sink
	sink    func(stream int, data []byte)
	buffer  []byte
}

type startOptions struct {
	argv []string
	env  []string
	dir  string
	// stdin: it gets one of its own, instead of nothing.
	stdin bool
	// answers: it gets a file descriptor 3.
	answers bool
	// grouped: it leads a process group, which signals then go to.
	grouped bool
	// sink takes what it prints.
	sink func(stream int, data []byte)
}

var children = struct {
	sync.Mutex
	byPid map[int]*child
}{byPid: map[int]*child{}}

// beginReaping must be called once, before the first start.
func beginReaping() {
	// Orphans come to us, also when we are not process 1.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			reap()
		}
	}()
}

func reap() {
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		children.Lock()
		if c := children.byPid[pid]; c != nil {
			delete(children.byPid, pid)
			c.status = status
			c.maxRSS = uint64(usage.Maxrss) * 1024
			close(c.exited)
		}
		children.Unlock()
	}
}

func start(options startOptions) (*child, error) {
	path, err := exec.LookPath(options.argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return nil, err
	}
	c := &child{exited: make(chan struct{}), grouped: options.grouped, sink: options.sink, buffer: make([]byte, pipeBytes)}
	var theirs []int
	defer func() {
		for _, fd := range theirs {
			_ = syscall.Close(fd)
		}
	}()
	pipe := func(weWrite bool) (*os.File, uintptr, error) {
		var ends [2]int
		if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
			return nil, 0, err
		}
		our, their := ends[0], ends[1]
		if weWrite {
			our, their = their, our
		}
		theirs = append(theirs, their)
		if err := syscall.SetNonblock(our, true); err != nil {
			return nil, 0, err
		}
		return os.NewFile(uintptr(our), "pipe"), uintptr(their), nil
	}
	var files [4]uintptr
	if options.stdin {
		c.stdin, files[0], err = pipe(true)
	} else {
		var null int
		null, err = syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		theirs = append(theirs, null)
		files[0] = uintptr(null)
	}
	for stream := stdout; stream <= stderr && err == nil; stream++ {
		c.streams[stream], files[stream], err = pipe(false)
	}
	count := 3
	if options.answers && err == nil {
		c.answers, files[3], err = pipe(false)
		count = 4
	}
	if err != nil {
		c.close()
		return nil, err
	}
	children.Lock() // so that its end is not reaped before we know it
	c.pid, err = syscall.ForkExec(path, options.argv, &syscall.ProcAttr{
		Dir:   options.dir,
		Env:   options.env,
		Files: files[:count],
		Sys:   &syscall.SysProcAttr{Setpgid: options.grouped, Pdeathsig: syscall.SIGKILL},
	})
	if err == nil {
		children.byPid[c.pid] = c
	}
	children.Unlock()
	if err != nil {
		c.close()
		return nil, &os.PathError{Op: "start", Path: path, Err: err}
	}
	for stream := stdout; stream <= stderr; stream++ {
		go c.follow(stream)
	}
	return c, nil
}

// follow reads a stream to its end.
func (c *child) follow(stream int) {
	raw, err := c.streams[stream].SyscallConn()
	if err != nil {
		return
	}
	// To the last byte each time: the runtime tells of new ones only.
	_ = raw.Read(func(fd uintptr) bool {
		for {
			c.mutex.Lock()
			n, err := c.read(int(fd), stream)
			c.mutex.Unlock()
			if err == syscall.EAGAIN {
				return false
			}
			if n <= 0 {
				return true
			}
		}
	})
}

// drain reads what was printed up to now. Called when an answer is there: what was printed before it is in the pipes.
func (c *child) drain() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for stream := stdout; stream <= stderr; stream++ {
		raw, err := c.streams[stream].SyscallConn()
		if err != nil {
			continue
		}
		_ = raw.Control(func(fd uintptr) {
			for left := pipeBytes; left > 0; {
				n, err := c.read(int(fd), stream)
				if n <= 0 || err != nil {
					return
				}
				left -= n
			}
		})
	}
}

// With the mutex held.
func (c *child) read(fd, stream int) (int, error) {
	for {
		n, err := syscall.Read(fd, c.buffer)
		if err == syscall.EINTR {
			continue
		}
		if n > 0 {
			c.sink(stream, c.buffer[:n])
		}
		return n, err
	}
}

// printTo changes who takes what it prints from now on.
func (c *child) printTo(sink func(stream int, data []byte)) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.sink = sink
}

// signal reaches it, or its group, unless it has ended.
func (c *child) signal(signal syscall.Signal) {
	children.Lock()
	defer children.Unlock()
	if children.byPid[c.pid] != c {
		return
	}
	to := c.pid
	if c.grouped {
		to = -to
	}
	_ = syscall.Kill(to, signal)
}

// bury ends what an ended child has left behind in its group, and takes the rest of what it printed.
func (c *child) bury() {
	<-c.exited
	if c.grouped {
		_ = syscall.Kill(-c.pid, syscall.SIGKILL)
	}
	c.drain()
	c.close()
}

func (c *child) close() {
	for _, file := range []*os.File{c.stdin, c.streams[stdout], c.streams[stderr], c.answers} {
		if file != nil {
			_ = file.Close()
		}
	}
}

// exitCode is what a shell would say: above 128 it tells a signal.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func howItEnded(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("signal %d, %s", status.Signal(), status.Signal())
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

// residentBytes of a process; 0 when it has ended.
func residentBytes(pid int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	if columns := strings.Fields(string(text)); len(columns) > 1 {
		pages, _ := strconv.ParseUint(columns[1], 10, 64)
		return pages * uint64(os.Getpagesize())
	}
	return 0
}
