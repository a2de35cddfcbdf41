// A program with nothing to do but a small task each second.
package main

import (
	"os"
	"time"
)

func main() {
	work, err := os.OpenFile("/out/work", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	for range time.Tick(time.Second) {
		work.Write([]byte{'.'})
	}
}
