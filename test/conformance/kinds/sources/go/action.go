// What an action of this language can be asked to do. ../../README.md says what each act is.

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var leftFile = filepath.Join(os.TempDir(), "left-behind")

func fails() {
	panic("no luck") // @throw
}

func eat() {
	fmt.Println("hungry")
	for all := [][]byte{}; ; {
		all = append(all, bytes.Repeat([]byte("x"), 8<<20))
	}
}

func shell(command string) map[string]any {
	child := exec.Command("sh", "-c", command)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	code := 0
	if err := child.Run(); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			panic(err)
		}
		code = ended.ExitCode()
	}
	return map[string]any{"code": code, "stderr": stderr.String()}
}

func turned(text string) map[string]any {
	all, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	slices.Reverse(all)
	os.Stdout.Write([]byte("A\xff\xfeB\n"))
	return map[string]any{"base64": base64.StdEncoding.EncodeToString(all)}
}

func environment(params map[string]any) map[string]any {
	env := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return map[string]any{"env": env, "params": params}
}

func look() map[string]any {
	of := func(name string) any {
		if value, there := os.LookupEnv(name); there {
			return value
		}
		return nil
	}
	_, err := os.Stat(leftFile)
	return map[string]any{
		"leftBehind": of("LEFT_BEHIND"), "file": err == nil,
		"activationId": os.Getenv("__OW_ACTIVATION_ID"), "apiKey": of("__OW_API_KEY"),
	}
}

func Main(ctx context.Context, params map[string]any) (any, error) {
	number := func(name string) int { return int(params[name].(float64)) }
	nothing := map[string]any{}
	switch params["act"] {
	case "echo":
		return params, nil
	case "throw":
		fails()
	case "text":
		return "text", nil
	case "circle":
		return map[string]any{"a": func() {}}, nil
	case "nothing":
		return nil, nil
	case "array":
		return []any{1, "two", map[string]any{"three": 3}}, nil
	case "exit":
		fmt.Println("last words")
		os.Exit(number("code"))
	case "hang":
		fmt.Println("still here")
		for {
			time.Sleep(time.Second)
		}
	case "eat":
		eat()
	case "shell":
		return shell(params["command"].(string)), nil
	case "print":
		for range number("lines") {
			fmt.Println(params["line"])
		}
		return nothing, nil
	case "streams":
		fmt.Println("out 1")
		fmt.Fprintln(os.Stderr, "err 1")
		fmt.Println("out 2")
		fmt.Fprintln(os.Stderr, "err 2")
		fmt.Print("out 3")
		return nothing, nil
	case "bytes":
		return turned(params["base64"].(string)), nil
	case "environment":
		return environment(params), nil
	case "wait":
		time.Sleep(time.Duration(number("ms")) * time.Millisecond)
		return map[string]any{"waited": params["ms"]}, nil
	case "until-cancelled":
		fmt.Println("waiting")
		<-ctx.Done()
		return map[string]any{"cancelled": true}, nil
	case "remaining":
		until, _ := ctx.Deadline()
		return map[string]any{"remainingMs": time.Until(until).Milliseconds()}, nil
	case "fill":
		return map[string]any{"x": strings.Repeat("x", number("chars"))}, nil
	case "leave":
		os.Setenv("LEFT_BEHIND", "yes")
		fmt.Println("left")
		return nothing, os.WriteFile(leftFile, []byte("left"), 0o600)
	case "look":
		return look(), nil
	case "late":
		time.AfterFunc(200*time.Millisecond, func() { fmt.Println("late") })
		return nothing, nil
	}
	return nil, errors.New("no such act")
}

func Other(map[string]any) map[string]any {
	return map[string]any{"other": true}
}
