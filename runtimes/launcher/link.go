package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// frameBytesMax is the protocol's limit of a message.
const frameBytesMax = 64 * 1024 * 1024

// link carries frames between us and the invoker. Anybody may send; one reads.
type link struct {
	mutex  sync.Mutex // guards writing, and which connection it is
	conn   net.Conn
	reader *bufio.Reader
}

func newLink(conn net.Conn) *link {
	return &link{conn: conn, reader: bufio.NewReaderSize(conn, 64*1024)}
}

// send writes a message out before it returns. When the connection has ended the message is dropped: who reads sees the end,
// and decides.
func (l *link) send(message []byte) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.write(message)
}

func (l *link) write(message []byte) {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(message)))
	frame := net.Buffers{head[:], message}
	_, _ = frame.WriteTo(l.conn)
}

// renew goes on with another connection, on which hello is the first message.
func (l *link) renew(conn net.Conn, hello []byte) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_ = l.conn.Close()
	l.conn = conn
	l.reader = bufio.NewReaderSize(conn, 64*1024)
	l.write(hello)
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
