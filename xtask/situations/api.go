// An HTTP server: each request computes, sleeps, or both.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"
)

//go:noinline
func renderPage(kilobytes int) [32]byte {
	page := make([]byte, 1024)
	var sum [32]byte
	for i := 0; i < kilobytes; i++ {
		sum = sha256.Sum256(page)
		copy(page, sum[:])
	}
	return sum
}

func main() {
	address := flag.String("listen", ":8080", "address")
	kilobytes := flag.Int("hash", 1, "kilobytes to hash for each request")
	pause := flag.Duration("sleep", 0, "pause before each answer")
	flag.Parse()
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		time.Sleep(*pause)
		fmt.Fprintf(answer, "%x\n", renderPage(*kilobytes))
	})
	log.Fatal(http.ListenAndServe(*address, nil))
}
