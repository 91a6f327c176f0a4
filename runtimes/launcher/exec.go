package main

// One process per run, as OpenWhisk's docker skeleton has it: the arguments as JSON in the last argument and on standard
// input; the last line of standard output is the result, what comes before it is the log.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"syscall"
)

// argumentBytesMax is the kernel's limit of one argument, without the zero at its end. What is longer is on standard input
// only.
const argumentBytesMax = 128*1024 - 1

// lastLineBytesMax bounds what is kept of a line that may be the result; the invoker's limit of results is lower.
const lastLineBytesMax = 2 * 1024 * 1024

type execs struct {
	place place

	prepared
	calls *calls

	mutex sync.Mutex
	// bytes that a run took, fading.
	bytes uint64
}

func (e *execs) load(init initMessage, out *output) (err error) {
	e.calls = newCalls()
	e.prepared, err = e.place.prepare(init, out)
	return err
}

func (e *execs) run(m runMessage, out *output) (int, []byte) {
	e.calls.begin(m.call)
	variables := runVariables(m)
	for name, value := range e.variables {
		variables[name] = value
	}
	argv, params := e.argv, inOneLine(m.params)
	if len(params) <= argumentBytesMax {
		argv = append(append([]string{}, argv...), string(params))
	}
	last := &lastLine{out: out}
	c, err := start(startOptions{
		argv: argv, env: environment(variables), dir: e.directory, stdin: true, grouped: true,
		sink: func(stream int, data []byte) {
			if stream == stdout {
				last.write(data)
			} else {
				out.write(stream, data)
			}
		},
	})
	if err != nil {
		e.calls.end(m.call)
		return developerError, errorJSON("The action could not be started: " + err.Error())
	}
	e.calls.in(m.call, c)
	go func() {
		// Not every program reads it.
		_, _ = c.stdin.Write(append(params, '\n'))
		_ = c.stdin.Close()
	}()
	c.bury()
	others := e.calls.end(m.call)
	e.mutex.Lock()
	e.bytes = max(c.maxRSS, e.bytes/2)
	e.mutex.Unlock()
	if c.status.Signaled() && c.status.Signal() == syscall.SIGKILL && others == 0 {
		last.pass()
		crash(out, exitCode(c.status)) // memory may have run out; who looks from outside knows
	}
	return last.result(c.status)
}

// inOneLine takes what lies between the parts of JSON out of it, every digit kept: scripts put the arguments into other JSON,
// whose last line is the result, and callers end them with a line end or indent them.
func inOneLine(params []byte) []byte {
	var line bytes.Buffer
	line.Grow(len(params) + 1)
	if json.Compact(&line, params) != nil {
		return bytes.Clone(params) // the invoker sends nothing else
	}
	return line.Bytes()
}

func (e *execs) cancel(call uint32) { e.calls.cancel(call) }

func (e *execs) memory() uint64 {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return residentBytes(syscall.Getpid()) + e.bytes
}

// lastLine keeps back the line that may be the result: one that begins like an object or list, until another one follows it.
// Lines of nothing but spaces do not count.
type lastLine struct {
	out  *output
	held []byte
	// size of the held line, of which no more than lastLineBytesMax is kept.
	size  int64
	ended bool
	// empty lines that have followed it.
	empty int
	// passing is true inside a line that can be no result: it is the log's as it comes.
	passing bool
}

func (l *lastLine) write(data []byte) {
	for len(data) > 0 {
		line, rest, ends := bytes.Cut(data, []byte{'\n'})
		data = rest
		if l.ended && firstOf(line) == 0 {
			if ends {
				l.empty++
			}
			continue
		}
		if l.ended {
			l.pass()
		}
		if l.passing {
			l.out.write(stdout, line)
		} else {
			l.size += int64(len(line))
			l.held = append(l.held, line[:min(len(line), max(0, lastLineBytesMax-len(l.held)))]...)
		}
		if first := firstOf(l.held); first != 0 && first != '{' && first != '[' {
			l.out.write(stdout, l.held)
			l.held, l.size, l.passing = nil, 0, true
		}
		switch {
		case !ends:
		case l.passing:
			l.out.write(stdout, []byte{'\n'})
			l.passing = false
		case firstOf(l.held) == 0:
			l.out.write(stdout, append(l.held, '\n'))
			l.held, l.size = nil, 0
		default:
			l.ended = true
		}
	}
}

// pass hands the held line to the log.
func (l *lastLine) pass() {
	if len(l.held) > 0 {
		l.out.write(stdout, append(l.held, bytes.Repeat([]byte{'\n'}, 1+l.empty)...))
	}
	l.held, l.size, l.ended, l.empty = nil, 0, false, 0
}

func (l *lastLine) result(status syscall.WaitStatus) (int, []byte) {
	if l.size > lastLineBytesMax {
		return applicationError, tooLarge(l.size, l.held)
	}
	if outcome, result := judge(bytes.TrimSpace(l.held)); result != nil {
		return outcome, result
	}
	l.pass()
	if exitCode(status) != 0 {
		return developerError, errorJSON(fmt.Sprintf(
			"The action did not produce a valid response and exited unexpectedly (%s)%s", howItEnded(status), lastOutput(l.out)))
	}
	return developerError, errorJSON("The action did not return a dictionary or array: its last line of output is no JSON object.")
}
