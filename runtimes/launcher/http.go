package main

// OpenWhisk's images, and those made for it: a server on port 8080 that takes POST /init once and POST /run for each call.
// We are started in place of the image's entry point and start that ourselves, when the code is there: the environment of
// the server tells then whether calls may overlap. Connections are ours, because a call must cost no goroutine and no timer.

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	serverAddress = "127.0.0.1:8080"
	// connectEvery is how often a server that does not listen yet is tried. The invoker keeps the time limit.
	connectEvery = 50 * time.Millisecond
	// idleMax is how long a connection is kept: servers close idle ones, Node's after five seconds, and a request that
	// meets the close is lost.
	idleMax = 2 * time.Second
	// endWait is how long a server whose connection broke may take to be seen to end.
	endWait = 200 * time.Millisecond
	// sentinelWait is how long the end of the output is waited for, where the server says it.
	sentinelWait = 100 * time.Millisecond
	// firstSentinelWait is how long it is waited for to learn whether the server says it.
	firstSentinelWait = 10 * time.Millisecond
	informationalMax  = 5
)

type image struct {
	place place

	server      *child
	link        *link
	concurrency int
	client      client

	mutex     sync.Mutex
	sink      *output
	sentinels sentinels
}

type sentinels int

const (
	unknown sentinels = iota
	said
	notSaid
)

func (i *image) codeless() {}

func (i *image) load(init initMessage, out *output) error {
	if len(i.place.program) == 0 {
		return errors.New("the image has neither an entry point nor a command")
	}
	i.link, i.concurrency, i.sink = out.link, init.concurrency, out
	variables := map[string]string{}
	if init.concurrency > 1 {
		variables["__OW_ALLOW_CONCURRENT"] = "true"
	}
	var err error
	i.server, err = start(startOptions{argv: i.place.program, env: environment(variables), sink: i.print})
	if err != nil {
		return fmt.Errorf("the image's own program could not be started: %w", err)
	}
	go i.watch()
	body, err := initBody(init)
	if err != nil {
		return err
	}
	status, answer, err := i.post("/init", body...)
	i.server.drain()
	i.printTo(newOutput(i.link, 0, betweenBytesMax))
	if err != nil {
		return told{errorJSON("The action did not initialize: " + err.Error())}
	}
	if status == http.StatusOK {
		return nil
	}
	if firstOf(answer) == '{' {
		if said := valueOf(answer, "error"); said != nil {
			return told{withKey("error", said)}
		}
	}
	return told{errorJSON(fmt.Sprintf("The action failed during initialization (status %d): %s", status, excerpt(answer)))}
}

func (i *image) run(m runMessage, out *output) (int, []byte) {
	marks := make(chan int, 2)
	out.sentinelled = func(stream int) {
		select {
		case marks <- stream:
		default:
		}
	}
	i.printTo(out)
	body := append(requestStart(m), '}')
	status, answer, err := i.post("/run", body)
	i.server.drain()
	if i.concurrency == 1 {
		i.awaitSentinels(marks)
		i.printTo(newOutput(i.link, 0, betweenBytesMax))
	}
	switch {
	case errors.Is(err, errTooLarge):
		return applicationError, answer
	case err != nil:
		return developerError, errorJSON("The action did not produce a valid response: " + err.Error())
	case status == http.StatusOK:
		if outcome, result := judge(answer); result != nil {
			return outcome, result
		}
	case firstOf(answer) == '{':
		if said := valueOf(answer, "error"); said != nil {
			return developerError, withKey("error", said)
		}
	}
	return developerError, errorJSON("The action did not produce a valid JSON or JSON Array response: " + excerpt(answer))
}

// cancel has no counterpart in the protocol: the sandbox ends when the grace period is over.
func (i *image) cancel(uint32) {}

func (i *image) memory() uint64 {
	if os.Getpid() != 1 {
		return residentBytes(os.Getpid()) + residentBytes(i.server.pid)
	}
	var total uint64
	processes, _ := os.ReadDir("/proc")
	for _, process := range processes {
		if pid, err := strconv.Atoi(process.Name()); err == nil {
			total += residentBytes(pid)
		}
	}
	return total
}

func (i *image) print(stream int, data []byte) {
	i.mutex.Lock()
	sink := i.sink
	i.mutex.Unlock()
	sink.write(stream, data)
}

func (i *image) printTo(out *output) {
	i.mutex.Lock()
	i.sink = out
	i.mutex.Unlock()
}

// watch ends the sandbox with the server.
func (i *image) watch() {
	i.server.bury()
	i.mutex.Lock()
	sink := i.sink
	i.mutex.Unlock()
	crash(sink, exitCode(i.server.status))
}

// awaitSentinels waits for the end of the output on both streams, where servers say it: they do so just after the answer.
func (i *image) awaitSentinels(marks <-chan int) {
	wait := sentinelWait
	switch i.sentinels {
	case notSaid:
		return
	case unknown:
		wait = firstSentinelWait
	case said:
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for seen := 0; seen < 2; {
		select {
		case <-marks:
			seen++
		case <-limit.C:
			i.sentinels = notSaid
			return
		}
	}
	i.sentinels = said
}

func excerpt(answer []byte) string {
	return string(validUTF8(answer[:min(len(answer), excerptBytes)]))
}

// initBody is the body of /init, in parts: code may be large, and is not copied more often than needed.
func initBody(init initMessage) ([][]byte, error) {
	main := init.main
	if main == "" {
		main = "main"
	}
	head, err := json.Marshal(struct {
		Name   string            `json:"name"`
		Main   string            `json:"main"`
		Binary bool              `json:"binary"`
		Env    map[string]string `json:"env"`
	}{init.actionName, main, init.binary, init.env})
	if err != nil {
		return nil, err
	}
	parts := [][]byte{[]byte(`{"value":`), head}
	if len(init.code) > 0 {
		code := make([]byte, 0, base64.StdEncoding.EncodedLen(len(init.code))+2)
		if init.binary {
			code = append(base64.StdEncoding.AppendEncode(append(code, '"'), init.code), '"')
		} else {
			code = appendJSON(code, string(init.code))
		}
		parts[1] = head[:len(head)-1]
		parts = append(parts, []byte(`,"code":`), code, []byte{'}'})
	}
	return append(parts, []byte{'}'}), nil
}

var (
	errNoResponse = errors.New("the connection ended without a response")
	errNoLength   = errors.New("the response has no Content-Length")
	errTooLarge   = errors.New("the response is too large")
)

// post says what the server answered. It does not return when the server has ended.
func (i *image) post(path string, body ...[]byte) (int, []byte, error) {
	status, answer, err := i.client.post(i.server.exited, path, body)
	if err != nil && !errors.Is(err, errTooLarge) && !errors.Is(err, errNoLength) {
		select {
		case <-i.server.exited:
			select {} // watch ends us
		case <-time.After(endWait):
		}
	}
	return status, answer, err
}

// client keeps connections to the server.
type client struct {
	mutex sync.Mutex
	idle  []*connection
}

type connection struct {
	*net.TCPConn
	reader *bufio.Reader
	since  time.Time
}

func (c *client) post(ended <-chan struct{}, path string, body [][]byte) (int, []byte, error) {
	conn, err := c.take(ended)
	if err != nil {
		return 0, nil, err
	}
	status, answer, keep, err := conn.exchange(path, body)
	if keep {
		c.put(conn)
	} else {
		_ = conn.Close()
	}
	return status, answer, err
}

func (c *client) take(ended <-chan struct{}) (*connection, error) {
	now := time.Now()
	for {
		c.mutex.Lock()
		last := len(c.idle) - 1
		if last < 0 {
			c.mutex.Unlock()
			return connect(ended)
		}
		conn := c.idle[last]
		c.idle = c.idle[:last]
		c.mutex.Unlock()
		if now.Sub(conn.since) < idleMax && conn.quiet() {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func (c *client) put(conn *connection) {
	conn.since = time.Now()
	c.mutex.Lock()
	c.idle = append(c.idle, conn)
	c.mutex.Unlock()
}

func connect(ended <-chan struct{}) (*connection, error) {
	for {
		conn, err := net.Dial("tcp", serverAddress)
		if err == nil {
			tcp := conn.(*net.TCPConn)
			return &connection{TCPConn: tcp, reader: bufio.NewReaderSize(tcp, 16*1024)}, nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, err
		}
		select {
		case <-ended:
			return nil, err
		case <-time.After(connectEvery):
		}
	}
}

// quiet tells whether the server has neither closed an idle connection nor said anything on it.
func (c *connection) quiet() bool {
	raw, err := c.SyscallConn()
	if err != nil || c.reader.Buffered() > 0 {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, failed := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = failed == syscall.EAGAIN
	})
	return err == nil && quiet
}

func (c *connection) exchange(path string, body [][]byte) (status int, answer []byte, keep bool, err error) {
	length := 0
	for _, part := range body {
		length += len(part)
	}
	head := fmt.Appendf(nil,
		"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: %d\r\n\r\n",
		path, serverAddress, length)
	request := append(net.Buffers{head}, body...)
	if length < 16*1024 {
		request = net.Buffers{bytes.Join(request, nil)}
	}
	_, sendError := request.WriteTo(c.TCPConn)
	// A server may answer and close before it has read all of it.
	response, err := http.ReadResponse(c.reader, nil)
	for n := 0; err == nil && response.StatusCode < 200 && n < informationalMax; n++ {
		response, err = http.ReadResponse(c.reader, nil)
	}
	if err != nil {
		return 0, nil, false, errors.Join(errNoResponse, sendError)
	}
	size := response.ContentLength
	if size < 0 {
		return 0, nil, false, errNoLength
	}
	if size > resultBytesMax {
		beginning := make([]byte, excerptBytes)
		n, _ := io.ReadFull(response.Body, beginning)
		return response.StatusCode, tooLarge(size, beginning[:n]), false, errTooLarge
	}
	answer = make([]byte, size)
	if _, err := io.ReadFull(response.Body, answer); err != nil {
		return 0, nil, false, errNoResponse
	}
	return response.StatusCode, answer, !response.Close && sendError == nil, nil
}
