package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// resultBytesMax is told without itself above: a frame has to hold it. The invoker's own limit is far lower.
	resultBytesMax = frameBytesMax - 64*1024
	// resultBytesAllowed is that limit, for texts.
	resultBytesAllowed = 1024 * 1024
	excerptBytes       = 1024
	// reconnectEvery is how often the next life of the invoker is looked for.
	reconnectEvery = 100 * time.Millisecond
	// memoryEvery: memory is looked at no more often.
	memoryEvery = time.Second
	// loadFailed begins what a developer reads when code cannot be loaded.
	loadFailed = "Initialization has failed due to: "
)

// server runs the code in one of the modes. load is called once, before the first run; runs may overlap up to the
// concurrency of the init.
type server interface {
	// load makes the action ready. What it prints goes to out; the error is for the developer.
	load(init initMessage, out *output) error
	// run returns how it ended and the JSON text for it. It does not return when the sandbox cannot go on: see crash.
	run(run runMessage, out *output) (outcome int, result []byte)
	// cancel asks a run to stop.
	cancel(call uint32)
	// memory is what it takes now, or took in the run before: bytes; 0 when it is not known.
	memory() uint64
}

type session struct {
	link   *link
	server server

	kind     string
	version  string
	path     string
	patience time.Duration

	logLimit uint64
	loading  bool

	mutex sync.Mutex
	// busy with the init; loaded by it.
	busy     bool
	loaded   bool
	runs     map[uint32]bool
	memoryAt time.Time
	bytes    uint64
}

// serve returns never.
func (s *session) serve() {
	s.runs = map[uint32]bool{}
	for {
		frame, err := s.link.receive()
		if err != nil {
			s.resume()
			continue
		}
		message, err := decodeToSandbox(frame)
		if err != nil {
			os.Exit(3)
		}
		switch m := message.(type) {
		case initMessage:
			s.init(m)
		case runMessage:
			s.begin(m)
		case cancelMessage:
			s.cancel(m)
		case buildMessage:
			b, builds := s.server.(*builder)
			if !builds || s.loading {
				os.Exit(3)
			}
			s.loading = true
			go func() { s.link.send(encodeBuildResult(b.build(m))) }()
		default:
			os.Exit(3) // a message of a newer protocol: doing part of it would be worse
		}
	}
}

// resume connects again when the invoker's process has ended and nothing was to be done: its next life may go on with what is
// loaded here. Otherwise the end of the connection is the end of the sandbox.
func (s *session) resume() {
	s.mutex.Lock()
	idle, loaded := !s.busy && len(s.runs) == 0, s.loaded
	s.mutex.Unlock()
	for until := time.Now().Add(s.patience); idle && time.Now().Before(until); time.Sleep(reconnectEvery) {
		if conn, err := net.Dial("unix", s.path); err == nil {
			s.link.renew(conn, encodeHello(s.kind, s.version, true, &loaded))
			return
		}
	}
	os.Exit(0)
}

func (s *session) init(m initMessage) {
	if s.loading {
		s.link.send(encodeInitResult(false, errorJSON("Cannot initialize the action more than once.")))
		return
	}
	s.loading = true
	s.mutex.Lock()
	s.busy = true
	s.mutex.Unlock()
	s.logLimit = m.logLimitBytes
	go func() {
		out := newOutput(s.link, 0, m.logLimitBytes)
		var err error
		if len(m.code) == 0 && !codeless(s.server) {
			err = errors.New("there is no code to run")
		} else {
			err = s.server.load(m, out)
		}
		out.end()
		s.mutex.Lock()
		s.loaded = err == nil
		s.mutex.Unlock()
		if err != nil {
			s.link.send(encodeInitResult(false, loadError(err)))
		} else {
			s.link.send(encodeInitResult(true, nil))
		}
		s.mutex.Lock()
		s.busy = false
		s.mutex.Unlock()
	}()
}

// codeless tells whether a server may do without code.
func codeless(of server) bool {
	_, is := of.(interface{ codeless() })
	return is
}

// told is an error that is JSON already.
type told struct{ json []byte }

func (t told) Error() string { return string(t.json) }

func loadError(err error) []byte {
	if t, is := err.(told); is {
		return t.json
	}
	return errorJSON(loadFailed + err.Error())
}

func (s *session) begin(m runMessage) {
	s.mutex.Lock()
	loaded := s.loaded
	s.runs[m.call] = true
	s.mutex.Unlock()
	if !loaded {
		s.answer(m.call, developerError, errorJSON("The action has not been initialized."), false)
		return
	}
	go func() {
		out := newOutput(s.link, m.call, s.logLimit)
		outcome, result := s.server.run(m, out)
		out.end()
		if len(result) > resultBytesMax {
			outcome, result = applicationError, tooLarge(int64(len(result)), result)
		}
		s.answer(m.call, outcome, result, out.wasTruncated())
	}()
}

// cancel of what is unknown or finished is ignored.
func (s *session) cancel(m cancelMessage) {
	s.mutex.Lock()
	running := s.runs[m.call]
	s.mutex.Unlock()
	if running {
		s.server.cancel(m.call)
	}
}

func (s *session) answer(call uint32, outcome int, result []byte, truncated bool) {
	s.mutex.Lock()
	if now := time.Now(); now.Sub(s.memoryAt) >= memoryEvery {
		s.memoryAt = now
		s.bytes = s.server.memory()
	}
	bytes := s.bytes
	s.mutex.Unlock()
	s.link.send(encodeRunResult(call, outcome, result, truncated, bytes))
	s.mutex.Lock()
	delete(s.runs, call)
	s.mutex.Unlock()
}

// crash ends the sandbox as its code ended, so that the invoker tells the caller why: it knows whether memory ran out, and
// has the last lines.
func crash(out *output, code int) {
	out.end()
	os.Exit(code)
}

func errorJSON(text string) []byte {
	return object("error", text)
}

func object(key string, value any) []byte {
	text, err := json.Marshal(map[string]any{key: value})
	if err != nil {
		return []byte(`{"error":"an error that cannot be written as JSON"}`)
	}
	return text
}

func tooLarge(size int64, beginning []byte) []byte {
	return errorJSON(fmt.Sprintf(
		"The action produced a response that exceeded the allowed length: %d > %d bytes. The truncated response was: %s",
		size, resultBytesAllowed, validUTF8(beginning[:min(len(beginning), excerptBytes)])))
}

// judge says what an answer is: a result, the action's own error without its siblings, or nothing of the kind.
func judge(answer []byte) (outcome int, result []byte) {
	if !json.Valid(answer) {
		return developerError, nil
	}
	switch firstOf(answer) {
	case '[':
		return success, answer
	case '{':
		if said := valueOf(answer, "error"); said != nil {
			return applicationError, withKey("error", said)
		}
		return success, answer
	default:
		return developerError, nil
	}
}

// valueOf returns the JSON of a key of an object, or nil. Most objects do not have it, and are not taken apart.
func valueOf(object []byte, key string) json.RawMessage {
	if !bytes.Contains(object, []byte(key)) && !bytes.Contains(object, []byte(`\u`)) {
		return nil
	}
	var values map[string]json.RawMessage
	if json.Unmarshal(object, &values) != nil {
		return nil
	}
	return values[key]
}

func withKey(key string, value []byte) []byte {
	return fmt.Appendf(nil, `{"%s":%s}`, key, value)
}

func firstOf(text []byte) byte {
	for _, b := range text {
		if b != ' ' && b != '\t' && b != '\n' && b != '\r' {
			return b
		}
	}
	return 0
}

// variables that a run sets, as OpenWhisk names them, and those of ours.
func runVariables(m runMessage) map[string]string {
	return map[string]string{
		"__OW_ACTIVATION_ID":  m.activationID,
		"__OW_NAMESPACE":      m.namespace,
		"__OW_ACTION_NAME":    m.actionName,
		"__OW_ACTION_VERSION": m.actionVersion,
		"__OW_TRANSACTION_ID": m.transactionID,
		"__OW_DEADLINE":       strconv.FormatUint(m.deadlineWallMs, 10),
		"__OW_API_KEY":        m.apiKey,
		"WEFT_TRACEPARENT":    m.traceparent,
		"WEFT_REMAINING_MS":   strconv.FormatUint(uint64(m.remainingMs), 10),
	}
}
