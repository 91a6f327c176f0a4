package main

import (
	"sync"
	"syscall"
)

// calls that run, each in a process of its own or in one that serves it alone for as long.
type calls struct {
	mutex sync.Mutex
	// running by call; nil until its process is there.
	running map[uint32]*child
	// canceled before that.
	canceled map[uint32]bool
}

func newCalls() *calls {
	return &calls{running: map[uint32]*child{}, canceled: map[uint32]bool{}}
}

// begin must be followed by end.
func (c *calls) begin(call uint32) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.running[call] = nil
}

// in tells which process runs it, and passes on a cancel that came before.
func (c *calls) in(call uint32, process *child) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.running[call] = process
	if c.canceled[call] {
		process.signal(syscall.SIGTERM)
	}
}

// end returns how many others run.
func (c *calls) end(call uint32) int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.running, call)
	delete(c.canceled, call)
	return len(c.running)
}

// cancel of what does not run is ignored.
func (c *calls) cancel(call uint32) {
	// Signalled before it can be given to another call.
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if process, runs := c.running[call]; process != nil {
		process.signal(syscall.SIGTERM)
	} else if runs {
		c.canceled[call] = true
	}
}

// memory of their processes.
func (c *calls) memory() (total uint64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, process := range c.running {
		if process != nil {
			total += residentBytes(process.pid)
		}
	}
	return total
}
