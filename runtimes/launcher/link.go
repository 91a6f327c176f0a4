package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// frameBytesMax is the protocol's limit of a message.
const frameBytesMax = 64 * 1024 * 1024

// link carries frames between us and the invoker. Anybody may send; one reads.
type link struct {
	conn   net.Conn
	reader *bufio.Reader
	mutex  sync.Mutex
}

func newLink(conn net.Conn) *link {
	return &link{conn: conn, reader: bufio.NewReaderSize(conn, 64*1024)}
}

// send writes a message out before it returns. The end of the connection is the end of the sandbox.
func (l *link) send(message []byte) {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(message)))
	l.mutex.Lock()
	defer l.mutex.Unlock()
	frame := net.Buffers{head[:], message}
	if _, err := frame.WriteTo(l.conn); err != nil {
		os.Exit(0)
	}
}

func (l *link) receive() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(l.reader, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > frameBytesMax {
		return nil, errors.New("a message is larger than the protocol allows")
	}
	message := make([]byte, length)
	_, err := io.ReadFull(l.reader, message)
	return message, err
}
