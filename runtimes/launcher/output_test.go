package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

// printed is what an output sends for what is written, as "stream text".
func printed(t *testing.T, limit uint64, write func(*output)) (lines []string, truncated bool) {
	t.Helper()
	ours, theirs := net.Pipe()
	out := newOutput(newLink(ours), 1, limit)
	go func() {
		write(out)
		out.end()
		_ = ours.Close()
	}()
	from := newLink(theirs)
	for {
		frame, err := from.receive()
		if err != nil {
			return lines, out.wasTruncated()
		}
		_ = fields(frame, func(_ int, _ uint64, logs []byte) {
			_ = fields(logs, func(number int, _ uint64, line []byte) {
				if number != 2 {
					return
				}
				stream, text := "", ""
				_ = fields(line, func(number int, value uint64, chunk []byte) {
					switch number {
					case 1:
						stream = string([]byte{'0' + byte(value)})
					case 3:
						text = string(chunk)
					}
				})
				lines = append(lines, stream+" "+text)
			})
		})
	}
}

func TestLinesAreCutAndKeptInOrder(t *testing.T) {
	lines, _ := printed(t, 1<<20, func(o *output) {
		o.write(stdout, []byte("one\ntw"))
		o.write(stderr, []byte("oh\r\n"))
		o.write(stdout, []byte("o\n\nthree"))
		o.write(stdout, []byte("\n"+sentinel+"\n"))
		o.write(stderr, []byte(sentinel+"\nlast"))
	})
	if got := strings.Join(lines, "|"); got != "1 one|2 oh|1 two|1 |1 three|2 last" {
		t.Error(got)
	}
}

func TestWhatIsNoTextIsReplacedAndLongLinesAreContinued(t *testing.T) {
	lines, _ := printed(t, 1<<20, func(o *output) {
		o.write(stdout, []byte("a\xff\xfeb\xc3\n"))
		o.write(stdout, append(bytes.Repeat([]byte("ü"), lineBytesMax), '\n'))
	})
	if lines[0] != "1 a��b�" {
		t.Errorf("%q", lines[0])
	}
	if len(lines) != 3 || lines[1] != "1 "+strings.Repeat("ü", lineBytesMax/2) || lines[2] != lines[1] {
		t.Errorf("%d lines", len(lines))
	}
}

func TestNoMoreIsKeptThanTheLimit(t *testing.T) {
	lines, truncated := printed(t, 8, func(o *output) {
		o.write(stdout, []byte("123\n456\n7\n"))
	})
	if strings.Join(lines, "|") != "1 123|1 456" || !truncated {
		t.Error(lines, truncated)
	}
}

func TestTheTailIsTheEndOfStandardError(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() {
		from := newLink(theirs)
		for {
			if _, err := from.receive(); err != nil {
				return
			}
		}
	}()
	out := newOutput(newLink(ours), 1, 1<<20)
	out.write(stdout, []byte("out\n"))
	if out.tail() != "out" {
		t.Error(out.tail())
	}
	out.write(stderr, []byte("1\n2\n3\n4\n"))
	if out.tail() != "2\n3\n4" {
		t.Error(out.tail())
	}
}
