// A cache whose refresh waits for its source: refresh inside|outside says whether it holds the mutex meanwhile.
package main

import (
	"os"
	"sync"
	"time"
)

type cache struct {
	lock  sync.Mutex
	value int
}

//go:noinline
func fetchFromUpstream() int {
	time.Sleep(90 * time.Millisecond)
	return 1
}

//go:noinline
func (it *cache) refresh(inside bool) {
	if inside {
		it.lock.Lock()
		defer it.lock.Unlock()
		it.value += fetchFromUpstream()
		return
	}
	value := fetchFromUpstream()
	it.lock.Lock()
	defer it.lock.Unlock()
	it.value += value
}

//go:noinline
func (it *cache) lookup() int {
	it.lock.Lock()
	defer it.lock.Unlock()
	return it.value
}

func main() {
	work, err := os.OpenFile("/out/work", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	var shared cache
	for i := 0; i < 8; i++ {
		go func() {
			for {
				shared.lookup()
				work.Write([]byte{'.'})
				time.Sleep(2 * time.Millisecond)
			}
		}()
	}
	for {
		shared.refresh(os.Args[1] == "inside")
		time.Sleep(10 * time.Millisecond)
	}
}
