// Clients that ask, think, and ask again. Answers are their work, counted with the time that each took.
package main

import (
	"flag"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

func open(name string) *os.File {
	file, err := os.OpenFile("/out/"+name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	return file
}

func main() {
	url := flag.String("url", "http://api:8080/", "what to ask for")
	clients := flag.Int("clients", 4, "clients at once")
	think := flag.Duration("think", 0, "pause of each client after an answer")
	flag.Parse()
	work, spent := open("work"), open("time")
	transport := &http.Transport{MaxIdleConnsPerHost: *clients}
	client := http.Client{Transport: transport}
	var lock sync.Mutex
	var rest time.Duration
	count := func(took time.Duration) {
		lock.Lock()
		defer lock.Unlock()
		work.Write([]byte{'.'})
		rest += took
		tenths := rest / (100 * time.Microsecond)
		rest %= 100 * time.Microsecond
		spent.Write(make([]byte, tenths))
	}
	for i := 1; i <= *clients; i++ {
		ask := func() {
			for {
				begin := time.Now()
				answer, err := client.Get(*url)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				count(time.Since(begin))
				time.Sleep(*think)
			}
		}
		if i == *clients {
			ask()
		}
		go ask()
	}
}
