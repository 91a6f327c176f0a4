package main

// The protocol of OpenWhisk's ActionLoop: a program reads a line of JSON from standard input, and writes one to file
// descriptor 3, again and again. It runs one call at a time; for more at once there are more processes, started when they
// are first needed.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// endingMax is how long a program may take to end after it has closed its answers: it runs what it has for its end.
const endingMax = 2 * time.Second

type loop struct {
	place place

	prepared
	calls *calls
	link  *link

	mutex sync.Mutex // guards idle
	idle  []*looper
}

// looper is one process.
type looper struct {
	*child
	answers *bufio.Reader
}

func (l *loop) load(init initMessage, out *output) (err error) {
	if l.prepared, err = l.place.prepare(init, out); err != nil {
		return err
	}
	l.variables["__OW_WAIT_FOR_ACK"] = "yes"
	l.calls, l.link = newCalls(), out.link
	first, err := l.start(out)
	if err != nil {
		return err
	}
	l.rest(first)
	l.idle = append(l.idle, first)
	return nil
}

// rest makes what it prints from now on output between runs.
func (l *loop) rest(one *looper) {
	one.printTo(newOutput(l.link, 0, betweenBytesMax).write)
}

// start begins a process and waits until it says that it is ready.
func (l *loop) start(out *output) (*looper, error) {
	c, err := start(startOptions{
		argv: l.argv, env: environment(l.variables), dir: l.directory, stdin: true, answers: true, sink: out.write,
	})
	if err != nil {
		return nil, err
	}
	one := &looper{c, bufio.NewReaderSize(c.answers, 64*1024)}
	said, err := one.answer()
	if err != nil {
		<-one.exited
		one.bury()
		return nil, fmt.Errorf("the program exited before it was ready (%s)%s", howItEnded(one.status), lastOutput(out))
	}
	one.drain()
	if problem := valueOf(said, "error"); problem != nil {
		one.signal(syscall.SIGKILL)
		var text string
		if json.Unmarshal(problem, &text) == nil {
			return nil, errors.New(text)
		}
		return nil, errors.New(string(problem))
	}
	return one, nil
}

func lastOutput(out *output) string {
	if tail := out.tail(); tail != "" {
		return ". Last output: " + tail
	}
	return ""
}

func (l *loop) run(m runMessage, out *output) (int, []byte) {
	one, err := l.take(m.call, out)
	if err != nil {
		return developerError, errorJSON("The action could not be started: " + err.Error())
	}
	one.printTo(out.write)
	_, err = one.stdin.Write(request(m))
	var answer []byte
	if err == nil {
		answer, err = one.answer()
	}
	if err != nil {
		return l.ended(m.call, one, out)
	}
	one.drain()
	l.rest(one)
	l.giveBack(m.call, one)
	outcome, result := judge(answer)
	if outcome == success {
		if text := valueOf(result, "weft_developer_error"); text != nil {
			return developerError, withKey("error", text)
		}
	}
	if result == nil {
		return developerError, noResult(answer)
	}
	return outcome, result
}

func noResult(answer []byte) []byte {
	if json.Valid(answer) {
		return errorJSON("The action did not return a dictionary or array.")
	}
	return errorJSON(fmt.Sprintf("The action did not produce a valid JSON or JSON Array response: %s",
		validUTF8(answer[:min(len(answer), excerptBytes)])))
}

// take finds a process that is idle, or starts one.
func (l *loop) take(call uint32, out *output) (*looper, error) {
	l.calls.begin(call)
	l.mutex.Lock()
	var one *looper
	if last := len(l.idle) - 1; last >= 0 {
		one, l.idle = l.idle[last], l.idle[:last]
	}
	l.mutex.Unlock()
	if one == nil {
		var err error
		if one, err = l.start(out); err != nil {
			l.calls.end(call)
			return nil, err
		}
	}
	l.calls.in(call, one.child)
	return one, nil
}

func (l *loop) giveBack(call uint32, one *looper) {
	l.calls.end(call)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.idle = append(l.idle, one)
}

// ended is told when a process is gone in the middle of a call. Where others still run, only this call ends.
func (l *loop) ended(call uint32, one *looper, out *output) (int, []byte) {
	select {
	case <-one.exited:
	case <-time.After(endingMax):
		one.signal(syscall.SIGKILL) // it has closed its descriptors only
	}
	one.bury()
	if l.calls.end(call) == 0 {
		crash(out, exitCode(one.status))
	}
	return developerError, errorJSON(fmt.Sprintf("The action did not produce a valid response and exited unexpectedly (%s)%s",
		howItEnded(one.status), lastOutput(out)))
}

func (l *loop) cancel(call uint32) { l.calls.cancel(call) }

func (l *loop) memory() uint64 {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	total := residentBytes(syscall.Getpid()) + l.calls.memory()
	for _, one := range l.idle {
		total += residentBytes(one.pid)
	}
	return total
}

// answer reads a line from file descriptor 3, without its end.
func (l *looper) answer() ([]byte, error) {
	var whole []byte
	for {
		part, err := l.answers.ReadSlice('\n')
		whole = append(whole, part...)
		if err == nil {
			return bytes.TrimRight(whole, "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if len(whole) > 0 && errors.Is(err, io.EOF) {
				return whole, nil // the last words of one that ends
			}
			return nil, err
		}
		if len(whole) > resultBytesMax {
			return nil, errors.New("the answer is too long")
		}
	}
}

// request is one line: line ends between the parts of JSON are as good as spaces.
func request(m runMessage) []byte {
	line := requestStart(m)
	line = strconv.AppendUint(append(line, `,"remaining_ms":`...), uint64(m.remainingMs), 10)
	if m.traceparent != "" {
		line = appendJSON(append(line, `,"traceparent":`...), m.traceparent)
	}
	return append(line, '}', '\n')
}

// requestStart is all of it that OpenWhisk has, without the last bracket.
func requestStart(m runMessage) []byte {
	line := make([]byte, 0, len(m.params)+512)
	line = append(line, `{"value":`...)
	at := len(line)
	line = append(line, m.params...)
	for i, b := range line[at:] {
		if b == '\n' || b == '\r' {
			line[at+i] = ' '
		}
	}
	for _, one := range siblings(m) {
		line = append(append(append(line, `,"`...), one.name...), `":`...)
		line = appendJSON(line, one.value)
	}
	return line
}

type sibling struct{ name, value string }

// siblings of "value" in a request, as OpenWhisk has them: texts, all of them.
func siblings(m runMessage) []sibling {
	all := []sibling{
		{"namespace", m.namespace},
		{"action_name", m.actionName},
		{"action_version", m.actionVersion},
		{"activation_id", m.activationID},
		{"transaction_id", m.transactionID},
		{"deadline", strconv.FormatUint(m.deadlineWallMs, 10)},
	}
	if m.apiKey != "" {
		all = append(all, sibling{"api_key", m.apiKey})
	}
	return all
}

func appendJSON(to []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		return append(to, `""`...) // no text fails
	}
	return append(to, quoted...)
}
