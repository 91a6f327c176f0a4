package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// place is where an action lives: what is started for it, and its folder.
type place struct {
	// program and its arguments; empty for the action's own file `exec`.
	program []string
	// work is the folder that everything is unpacked below.
	work string
	// extension of the file that source is written to, with its dot; may be "".
	extension string
}

// action is code that was laid out in a folder.
type action struct {
	directory string
	// file that source was written to; "" for an archive.
	file string
}

// executable is the action's own program, by OpenWhisk's name for it.
const executable = "exec"

// lay unpacks an archive or writes source, or a program that is no archive.
func (p place) lay(init initMessage) (action, error) {
	if err := os.MkdirAll(p.work, 0o755); err != nil {
		return action{}, err
	}
	directory, err := os.MkdirTemp(p.work, "action-")
	if err != nil {
		return action{}, err
	}
	if init.binary && (isZip(init.code) || isGzip(init.code) || len(p.program) > 0) {
		return action{directory: directory}, unpack(init.code, directory)
	}
	name := executable
	if len(p.program) > 0 {
		name = p.fileName(init.actionName)
	}
	file := filepath.Join(directory, name)
	return action{directory, file}, os.WriteFile(file, init.code, 0o755)
}

// fileName of source that is no archive.
func (p place) fileName(actionName string) string {
	return strings.TrimSuffix(strings.TrimLeft(filepath.Base(actionName), "."), p.extension) + p.extension
}

// command is what is started for it. A script without a first line that says what runs it is the shell's, as in a shell.
func (p place) command(a action) ([]string, error) {
	if len(p.program) > 0 {
		return p.program, nil
	}
	path := filepath.Join(a.directory, executable)
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the archive has no file %q at its top", executable)
	}
	defer file.Close()
	if err := os.Chmod(path, 0o755); err != nil {
		return nil, err
	}
	beginning := make([]byte, 4)
	n, _ := file.Read(beginning)
	if said := string(beginning[:n]); strings.HasPrefix(said, "#!") || said == "\x7fELF" {
		return []string{path}, nil
	}
	return []string{"/bin/sh", path}, nil
}

// prepared is an action that is laid out, and how it is started.
type prepared struct {
	argv      []string
	directory string
	// variables of what is started, over the environment of the action.
	variables map[string]string
}

// prepare lays an action out and makes its environment ours.
func (p place) prepare(init initMessage, out *output) (prepared, error) {
	setVariables(init, out)
	laid, err := p.lay(init)
	if err != nil {
		return prepared{}, err
	}
	argv, err := p.command(laid)
	return prepared{argv, laid.directory, actionVariables(init, laid)}, err
}

// setVariables makes the environment of the action ours, for all that we start.
func setVariables(init initMessage, out *output) {
	for name, value := range init.env {
		if err := os.Setenv(name, value); err != nil {
			out.write(stderr, fmt.Appendf(nil, "the parameter %q cannot be an environment variable: %v\n", name, err))
		}
	}
}

// environment of what is started: ours, which has that of the action, and more. Empty values are left out.
func environment(more map[string]string) []string {
	var all []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if _, replaced := more[name]; !replaced {
			all = append(all, entry)
		}
	}
	for name, value := range more {
		if value != "" && !strings.Contains(value, "\x00") {
			all = append(all, name+"="+value)
		}
	}
	return all
}

func actionVariables(init initMessage, a action) map[string]string {
	main := init.main
	if main == "" {
		main = "main"
	}
	return map[string]string{
		"WEFT_ACTION_DIR":  a.directory,
		"WEFT_ACTION_FILE": a.file,
		"WEFT_ACTION_MAIN": main,
		"WEFT_ACTION_NAME": init.actionName,
	}
}
