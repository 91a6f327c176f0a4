// The launcher: the runtime of every kind that has no server of its own. It speaks weft.runtime.v1 to its invoker, and to
// what it starts
//
//	loop  the protocol of OpenWhisk's ActionLoop: a line of JSON in, a line of JSON out on file descriptor 3
//	exec  what shell scripts and other programs understand: arguments in, the last line of output is the result
//	build one build instead of runs: see build.go
//	http  /init and /run on port 8080, as OpenWhisk's images and those made for it serve
//
// It is one static program of the standard library alone, mounted into sandboxes or started beside them. docs/runtimes.md
// tells what user code sees; docs/adr/0008 why it is so.
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	path := take("WEFT_SOCKET")
	if path == "" {
		fmt.Fprintln(os.Stderr, "WEFT_SOCKET is not set: this program is started by a Weft invoker")
		os.Exit(2)
	}
	kind := take("WEFT_KIND")
	patience, _ := strconv.Atoi(take("WEFT_RECONNECT_MS"))
	work := take("WEFT_WORKDIR")
	if work == "" {
		work = os.TempDir()
	}
	// We carry messages between others: a second thread would wait for most of them, and waking it costs more than it does.
	runtime.GOMAXPROCS(1)
	beginReaping()
	launch := modes[os.Args[1]]
	if launch == nil {
		usage()
	}
	server, version := launch(place{program: os.Args[2:], work: work, extension: take("WEFT_SOURCE_EXTENSION")})
	if said := take("WEFT_LANGUAGE_VERSION"); said != "" {
		version = said
	} else if _, of, found := strings.Cut(kind, ":"); found && version == "" {
		version = of
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		os.Exit(1)
	}
	s := &session{
		link: newLink(conn), server: server, kind: kind, version: version,
		path: path, patience: time.Duration(patience) * time.Millisecond,
	}
	s.link.send(encodeHello(kind, version, s.patience > 0, nil))
	s.serve()
}

// modes by name. Each returns what serves, and the version it tells when nothing else does.
var modes = map[string]func(place) (server, string){
	"loop":  func(at place) (server, string) { return &loop{place: at}, "" },
	"exec":  func(at place) (server, string) { return &execs{place: at}, "1" },
	"http":  func(at place) (server, string) { return &image{place: at}, "" },
	"build": func(at place) (server, string) { return &builder{place: at, registries: take("WEFT_REGISTRIES")}, "" },
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: weft-launcher loop|exec|http|build PROGRAM [ARGUMENT...], started by a Weft invoker")
	os.Exit(2)
}

// take reads a variable of ours and hides it from what we start.
func take(name string) string {
	value := os.Getenv(name)
	_ = os.Unsetenv(name)
	return value
}
