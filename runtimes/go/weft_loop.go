// The loop of a Go action: compiled together with the action's own source, into one program that the launcher starts. It
// reads a request a line from standard input and writes the answer as a line to file descriptor 3, as OpenWhisk's ActionLoop
// has it. Names begin with weft, so as to meet none of the action's.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
)

// weftAction is what an action's function may be.
type weftAction interface {
	func(map[string]any) map[string]any |
		func(map[string]any) any |
		func(map[string]any) (map[string]any, error) |
		func(map[string]any) (any, error) |
		func(context.Context, map[string]any) map[string]any |
		func(context.Context, map[string]any) any |
		func(context.Context, map[string]any) (map[string]any, error) |
		func(context.Context, map[string]any) (any, error)
}

type weftRun struct {
	mutex  sync.Mutex
	cancel context.CancelFunc
}

func weftServe[F weftAction](action F) {
	answers := os.NewFile(3, "answers")
	running := &weftRun{}
	terminations := make(chan os.Signal, 1)
	signal.Notify(terminations, syscall.SIGTERM)
	go func() {
		for range terminations {
			running.mutex.Lock()
			if running.cancel != nil {
				running.cancel()
			}
			running.mutex.Unlock()
		}
	}()
	if os.Getenv("__OW_WAIT_FOR_ACK") != "" {
		fmt.Fprintln(answers, `{"ok":true}`)
	}
	requests := bufio.NewReaderSize(os.Stdin, 64*1024)
	for {
		line, err := requests.ReadBytes('\n')
		if err != nil {
			return
		}
		if _, err := answers.Write(append(weftAnswer(action, line, running), '\n')); err != nil {
			return
		}
	}
}

func weftAnswer[F weftAction](action F, line []byte, running *weftRun) (answer []byte) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return weftError("weft_developer_error", "the request cannot be read: "+err.Error())
	}
	params := map[string]any{}
	remaining := 0
	for name, raw := range fields {
		switch name {
		case "value":
			if err := json.Unmarshal(raw, &params); err != nil {
				return weftError("error", "the arguments must be an object")
			}
		case "remaining_ms":
			_ = json.Unmarshal(raw, &remaining) // none: no deadline
		case "traceparent":
			weftSet("WEFT_TRACEPARENT", raw)
		default:
			weftSet("__OW_"+strings.ToUpper(name), raw)
		}
	}
	if fields["api_key"] == nil {
		_ = os.Unsetenv("__OW_API_KEY")
	}
	ctx, cancel := context.WithCancel(context.Background())
	if remaining > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(remaining)*time.Millisecond)
	}
	running.mutex.Lock()
	running.cancel = cancel
	running.mutex.Unlock()
	defer func() {
		running.mutex.Lock()
		running.cancel = nil
		running.mutex.Unlock()
		cancel()
		if panicked := recover(); panicked != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", panicked, debug.Stack())
			answer = weftError("weft_developer_error", fmt.Sprintf("panic: %v", panicked))
		}
	}()
	result, err := weftCall(ctx, action, params)
	if err != nil {
		return weftError("error", err.Error())
	}
	text := &bytes.Buffer{}
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(result); err != nil {
		return weftError("weft_developer_error", "the result cannot be written as JSON: "+err.Error())
	}
	return bytes.TrimRight(text.Bytes(), "\n")
}

func weftCall[F weftAction](ctx context.Context, action F, params map[string]any) (any, error) {
	switch f := any(action).(type) {
	case func(map[string]any) map[string]any:
		return f(params), nil
	case func(map[string]any) any:
		return f(params), nil
	case func(map[string]any) (map[string]any, error):
		return f(params)
	case func(map[string]any) (any, error):
		return f(params)
	case func(context.Context, map[string]any) map[string]any:
		return f(ctx, params), nil
	case func(context.Context, map[string]any) any:
		return f(ctx, params), nil
	case func(context.Context, map[string]any) (map[string]any, error):
		return f(ctx, params)
	case func(context.Context, map[string]any) (any, error):
		return f(ctx, params)
	}
	panic("weftAction has no more cases")
}

func weftSet(name string, raw json.RawMessage) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	if err := os.Setenv(name, text); err != nil {
		fmt.Fprintf(os.Stderr, "%s cannot be an environment variable: %v\n", name, err)
	}
}

func weftError(key, text string) []byte {
	line, err := json.Marshal(map[string]string{key: text})
	if err != nil {
		return []byte(`{"weft_developer_error":"an error that cannot be written as JSON"}`)
	}
	return line
}
