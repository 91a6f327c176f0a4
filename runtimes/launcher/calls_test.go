package main

import (
	"sync"
	"syscall"
	"testing"
)

var reaping sync.Once

func sleeper(t *testing.T) *child {
	t.Helper()
	reaping.Do(beginReaping)
	c, err := start(startOptions{argv: []string{"/bin/sleep", "60"}, sink: func(int, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACancelBeforeTheProcessIsThereReachesIt(t *testing.T) {
	running := newCalls()
	running.begin(1)
	running.begin(2)
	running.cancel(1)
	running.cancel(9) // runs nowhere
	process := sleeper(t)
	running.in(1, process)
	<-process.exited
	if process.status.Signal() != syscall.SIGTERM {
		t.Errorf("ended by %v", process.status)
	}
	if others := running.end(1); others != 1 {
		t.Errorf("%d others run", others)
	}
	if len(running.canceled) != 0 {
		t.Error("a cancel is remembered of a call that is over")
	}
}

func TestACancelReachesTheProcessOfItsCallAlone(t *testing.T) {
	running := newCalls()
	one, other := sleeper(t), sleeper(t)
	for call, process := range map[uint32]*child{1: one, 2: other} {
		running.begin(call)
		running.in(call, process)
	}
	if running.memory() == 0 {
		t.Error("they take no memory")
	}
	running.cancel(1)
	<-one.exited
	select {
	case <-other.exited:
		t.Error("both ended")
	default:
	}
	if running.end(1) != 1 {
		t.Error("the other does not run any more")
	}
	running.cancel(2)
	<-other.exited
	if running.end(2) != 0 {
		t.Error("somebody runs")
	}
}
