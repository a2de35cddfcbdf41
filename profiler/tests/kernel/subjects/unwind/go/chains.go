// Functions whose every call is known, of the kinds that Go has stacks of: without a frame, on the vDSO's and the
// scheduler's stack, on a stack that grows, under the garbage collector.
package main

import (
	"os"
	"strconv"
	"time"
)

var sink int
var kept [][]byte

//go:noinline
func leaf(n int) int {
	sum := 0
	for i := 0; i < n; i++ {
		sum += i ^ sum<<1
	}
	return sum
}

//go:noinline
func middle(n int) int { return leaf(n) + 1 }

//go:noinline
func outer(depth, n int) int {
	if depth > 0 {
		return outer(depth-1, n) + 1
	}
	return middle(n)
}

//go:noinline
func clocks(n int) (last time.Time) {
	for i := 0; i < n; i++ {
		last = time.Now()
	}
	return
}

//go:noinline
func allocates(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, make([]byte, 512))
		if len(kept) > 20000 {
			kept = nil
		}
	}
}

//go:noinline
func grows(depth int) int {
	var space [64]int
	if depth > 0 {
		space[depth%64] = grows(depth - 1)
	}
	return space[depth%32] + depth
}

//go:noinline
func sleeps() { time.Sleep(time.Millisecond) }

//go:noinline
func work() {
	sink += outer(20, 200000)
	clocks(10000)
	allocates(2000)
	done := make(chan int)
	go func() { done <- grows(200) }()
	<-done
	called()
	sleeps()
}

func main() {
	ms, _ := strconv.Atoi(os.Args[1])
	wait, _ := strconv.Atoi(os.Args[2])
	time.Sleep(time.Duration(wait) * time.Millisecond)
	for end := time.Now().Add(time.Duration(ms) * time.Millisecond); time.Now().Before(end); {
		work()
	}
}
