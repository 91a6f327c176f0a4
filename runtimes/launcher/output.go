package main

import (
	"bytes"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// lineBytesMax is the longest log line; a longer one is continued on the next.
	lineBytesMax = 64 * 1024
	// logsBytesMax bounds the lines in one message, give or take a line.
	logsBytesMax = 1024 * 1024
	// betweenBytesMax bounds the output between runs that is passed on, until the next run.
	betweenBytesMax = 64 * 1024
	// tailLines and tailBytesMax bound what an error tells of the last output.
	tailLines    = 3
	tailBytesMax = 512
)

// sentinel is the line with which OpenWhisk's runtimes end the output of an activation.
const sentinel = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"

// output is what one run prints. Lines are sent as they end: code that never lets go, or is killed, has said what it said.
type output struct {
	link  *link
	call  uint32
	limit uint64
	// sentinelled is called for each sentinel, with its stream. May be nil.
	sentinelled func(stream int)

	mutex     sync.Mutex
	partial   [3][]byte
	bytes     uint64
	truncated bool
	last      [3][]string
}

func newOutput(link *link, call uint32, limit uint64) *output {
	return &output{link: link, call: call, limit: limit}
}

func (o *output) write(stream int, data []byte) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	rest := append(o.partial[stream], data...)
	var lines []logLine
	for {
		cut := bytes.IndexByte(rest, '\n')
		if cut >= 0 && cut <= lineBytesMax {
			lines = o.keep(lines, stream, bytes.TrimSuffix(rest[:cut], []byte{'\r'}))
			rest = rest[cut+1:]
		} else if len(rest) > lineBytesMax {
			end := wholeRunes(rest, lineBytesMax)
			lines = o.keep(lines, stream, rest[:end])
			rest = rest[end:]
		} else {
			break
		}
	}
	o.partial[stream] = append(o.partial[stream][:0], rest...)
	o.send(lines)
}

// end sends what was printed without a line end.
func (o *output) end() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	var lines []logLine
	for stream := stdout; stream <= stderr; stream++ {
		if len(o.partial[stream]) > 0 {
			lines = o.keep(lines, stream, o.partial[stream])
			o.partial[stream] = nil
		}
	}
	o.send(lines)
}

func (o *output) wasTruncated() bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.truncated
}

// tail is the last that was printed, for an error: on standard error if there is something, else on standard output.
func (o *output) tail() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	lines := o.last[stderr]
	if len(lines) == 0 {
		lines = o.last[stdout]
	}
	text := strings.TrimSpace(strings.Join(lines, "\n"))
	if len(text) > tailBytesMax {
		text = "…" + strings.ToValidUTF8(text[len(text)-tailBytesMax:], "")
	}
	return text
}

// keep copies the line: what it was cut from is written over.
func (o *output) keep(lines []logLine, stream int, line []byte) []logLine {
	if string(bytes.TrimRight(line, " ")) == sentinel {
		if o.sentinelled != nil {
			o.sentinelled(stream)
		}
		return lines
	}
	text := validUTF8(line)
	o.last[stream] = append(o.last[stream], string(text[:min(len(text), tailBytesMax)]))
	if len(o.last[stream]) > tailLines {
		o.last[stream] = o.last[stream][1:]
	}
	if o.truncated || o.bytes+uint64(len(text))+1 > o.limit {
		o.truncated = true
		return lines
	}
	o.bytes += uint64(len(text)) + 1
	return append(lines, logLine{stream, uint64(time.Now().UnixNano()), text})
}

// send takes several messages when one would be too large.
func (o *output) send(lines []logLine) {
	for len(lines) > 0 {
		count, size := 0, 0
		for count < len(lines) && size < logsBytesMax {
			size += len(lines[count].text)
			count++
		}
		o.link.send(encodeLogs(o.call, lines[:count]))
		lines = lines[count:]
	}
}

// wholeRunes moves a cut back to the beginning of a character, when it is inside one.
func wholeRunes(text []byte, cut int) int {
	for back := 1; back < utf8.UTFMax; back++ {
		if at := cut - back; at > 0 && utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:cut]) {
				return at
			}
			break
		}
	}
	return cut
}

// validUTF8 returns a copy in which each byte that belongs to no character is replaced.
func validUTF8(text []byte) []byte {
	if utf8.Valid(text) {
		return bytes.Clone(text)
	}
	valid := make([]byte, 0, len(text)+16)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		valid = utf8.AppendRune(valid, r)
		text = text[size:]
	}
	return valid
}
