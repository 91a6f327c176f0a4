package main

// The messages of weft.runtime.v1, written by hand: there are seven, and a library for them would be larger than all of
// the rest. wire_test.go holds it to what the generated codec says.

import (
	"encoding/binary"
	"errors"
)

const (
	success          = 1
	applicationError = 2
	developerError   = 3
)

const (
	stdout = 1
	stderr = 2
)

const protocolVersion = 1

type initMessage struct {
	actionName    string
	main          string
	code          []byte
	binary        bool
	env           map[string]string
	concurrency   int
	logLimitBytes uint64
}

type runMessage struct {
	call           uint32
	params         []byte
	activationID   string
	namespace      string
	actionName     string
	actionVersion  string
	transactionID  string
	remainingMs    uint32
	deadlineWallMs uint64
	apiKey         string
	traceparent    string
}

type cancelMessage struct {
	call   uint32
	reason string
}

type logLine struct {
	stream int
	nanos  uint64
	text   []byte
}

var errDamaged = errors.New("a message ends inside a field")

// fields hands over each field: the value of a varint, or a chunk. Those of fixed width are skipped.
func fields(data []byte, each func(number int, value uint64, chunk []byte)) error {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return errDamaged
		}
		data = data[n:]
		switch tag & 7 {
		case 0:
			value, n := binary.Uvarint(data)
			if n <= 0 {
				return errDamaged
			}
			data = data[n:]
			each(int(tag>>3), value, nil)
		case 1, 5:
			width := 8
			if tag&7 == 5 {
				width = 4
			}
			if len(data) < width {
				return errDamaged
			}
			data = data[width:]
		case 2:
			length, n := binary.Uvarint(data)
			if n <= 0 || length > uint64(len(data)-n) {
				return errDamaged
			}
			each(int(tag>>3), 0, data[n:n+int(length)])
			data = data[n+int(length):]
		default:
			return errors.New("a message has a field of an unknown form")
		}
	}
	return nil
}

// decodeToSandbox returns an initMessage, a runMessage, a cancelMessage, or nil for a message it does not know. Chunks are
// views of the data.
func decodeToSandbox(data []byte) (any, error) {
	var message any
	var inner error
	err := fields(data, func(number int, _ uint64, chunk []byte) {
		switch {
		case chunk == nil:
		case number == 1:
			message, inner = decodeInit(chunk)
		case number == 2:
			message, inner = decodeRun(chunk)
		case number == 3:
			message, inner = decodeCancel(chunk)
		case number == 4:
			message, inner = decodeBuild(chunk)
		}
	})
	return message, errors.Join(err, inner)
}

func decodeInit(data []byte) (m initMessage, err error) {
	m.env = map[string]string{}
	var inner error
	err = fields(data, func(number int, value uint64, chunk []byte) {
		switch number {
		case 1:
			m.actionName = string(chunk)
		case 2:
			m.main = string(chunk)
		case 3:
			m.code = chunk
		case 4:
			m.binary = value != 0
		case 5:
			var name, text string
			inner = errors.Join(inner, fields(chunk, func(number int, _ uint64, chunk []byte) {
				switch number {
				case 1:
					name = string(chunk)
				case 2:
					text = string(chunk)
				}
			}))
			m.env[name] = text
		case 6:
			m.concurrency = int(value)
		case 7:
			m.logLimitBytes = value
		}
	})
	m.concurrency = max(1, m.concurrency)
	return m, errors.Join(err, inner)
}

func decodeRun(data []byte) (m runMessage, err error) {
	err = fields(data, func(number int, value uint64, chunk []byte) {
		switch number {
		case 1:
			m.call = uint32(value)
		case 2:
			m.params = chunk
		case 3:
			m.activationID = string(chunk)
		case 4:
			m.namespace = string(chunk)
		case 5:
			m.actionName = string(chunk)
		case 6:
			m.actionVersion = string(chunk)
		case 7:
			m.transactionID = string(chunk)
		case 8:
			m.remainingMs = uint32(value)
		case 9:
			m.deadlineWallMs = value
		case 10:
			m.apiKey = string(chunk)
		case 11:
			m.traceparent = string(chunk)
		}
	})
	if len(m.params) == 0 {
		m.params = []byte("{}")
	}
	return m, err
}

func decodeCancel(data []byte) (m cancelMessage, err error) {
	err = fields(data, func(number int, value uint64, chunk []byte) {
		switch number {
		case 1:
			m.call = uint32(value)
		case 2:
			m.reason = string(chunk)
		}
	})
	return m, err
}

func decodeBuild(data []byte) (m buildMessage, err error) {
	err = fields(data, func(number int, value uint64, chunk []byte) {
		switch number {
		case 1:
			m.actionName = string(chunk)
		case 2:
			m.main = string(chunk)
		case 3:
			m.source = chunk
		case 4:
			m.binary = value != 0
		case 5:
			m.step = int(value)
		}
	})
	return m, err
}

func putNumber(to []byte, number int, value uint64) []byte {
	if value == 0 {
		return to
	}
	return binary.AppendUvarint(binary.AppendUvarint(to, uint64(number)<<3), value)
}

// putChunk writes it also when it is empty, as members of a oneof are.
func putChunk(to []byte, number int, chunk []byte) []byte {
	to = binary.AppendUvarint(to, uint64(number)<<3|2)
	return append(binary.AppendUvarint(to, uint64(len(chunk))), chunk...)
}

func putText[T string | []byte](to []byte, number int, text T) []byte {
	if len(text) == 0 {
		return to
	}
	return putChunk(to, number, []byte(text))
}

// encodeHello says who we are; resumed is nil on the first connection, and then whether code is loaded.
func encodeHello(kind, languageVersion string, reconnects bool, resumed *bool) []byte {
	m := putText(nil, 1, kind)
	m = putText(m, 2, languageVersion)
	m = putNumber(m, 3, protocolVersion)
	m = putNumber(m, 4, bit(reconnects))
	if resumed != nil {
		m = putChunk(m, 5, putNumber(nil, 1, bit(*resumed)))
	}
	return putChunk(nil, 1, m)
}

func bit(of bool) uint64 {
	if of {
		return 1
	}
	return 0
}

func encodeInitResult(ok bool, errorJSON []byte) []byte {
	var m []byte
	if ok {
		m = putNumber(m, 1, 1)
	}
	return putChunk(nil, 2, putText(m, 2, errorJSON))
}

// encodeRunResult writes the result last but two: it is copied once.
func encodeRunResult(call uint32, outcome int, result []byte, logsTruncated bool, memoryBytes uint64) []byte {
	m := make([]byte, 0, len(result)+64)
	m = putNumber(m, 1, uint64(call))
	m = putNumber(m, 2, uint64(outcome))
	m = putText(m, 3, result)
	if logsTruncated {
		m = putNumber(m, 4, 1)
	}
	return putChunk(make([]byte, 0, len(m)+16), 3, putNumber(m, 5, memoryBytes))
}

func encodeLogs(call uint32, lines []logLine) []byte {
	m := putNumber(nil, 1, uint64(call))
	var one []byte
	for _, line := range lines {
		one = putNumber(one[:0], 1, uint64(line.stream))
		one = putNumber(one, 2, line.nanos)
		m = putChunk(m, 2, putText(one, 3, line.text))
	}
	return putChunk(nil, 4, m)
}

func encodeBuildResult(result buildResult) []byte {
	m := putNumber(nil, 1, uint64(result.outcome))
	m = putText(m, 2, result.artifact)
	m = putText(m, 3, validUTF8(result.lock))
	for _, d := range result.diagnostics {
		one := putText(nil, 1, d.file)
		one = putNumber(one, 2, uint64(d.line))
		one = putNumber(one, 3, uint64(d.column))
		m = putChunk(m, 4, putText(one, 4, d.text))
	}
	return putChunk(nil, 5, putText(m, 5, result.message))
}
