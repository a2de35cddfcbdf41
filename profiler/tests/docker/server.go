// A server with a known hot path: handler -> renderPage -> digest (inlined).
package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
)

func digest(n int) [32]byte {
	return sha256.Sum256([]byte{byte(n), byte(n >> 8)})
}

//go:noinline
func renderPage(n int) string {
	sum := 0
	for i := 0; i < n; i++ {
		d := digest(i)
		sum += int(d[0])
	}
	return fmt.Sprint(sum)
}

//go:noinline
func handler(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, renderPage(1000)) }

func main() {
	http.HandleFunc("/", handler)
	panic(http.ListenAndServe(os.Args[1], nil))
}
