// A cache of so many megabytes of small objects, and requests that allocate beside it.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

type product struct {
	name string
	next *product
	tags [4]*string
}

func fill(megabytes int) map[int]*product {
	products := map[int]*product{}
	var last *product
	for i := 0; i < megabytes*5000; i++ {
		name := fmt.Sprintf("product number %d of the catalogue", i)
		last = &product{name: name, next: last}
		for j := range last.tags {
			tag := name[:8+j]
			last.tags[j] = &tag
		}
		products[i] = last
	}
	return products
}

//go:noinline
func renderCatalogue(products map[int]*product, from int) int {
	var page strings.Builder
	for i := 0; i < 300; i++ {
		item := products[(from+i)%len(products)]
		page.WriteString(strings.ToUpper(item.name) + *item.tags[i%4])
	}
	return page.Len()
}

func main() {
	megabytes := flag.Int("live", 100, "megabytes that stay")
	pause := flag.Duration("pause", 0, "pause after each request")
	flag.Parse()
	work, err := os.OpenFile("/out/work", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	products := fill(*megabytes)
	for from := 0; ; from++ {
		if renderCatalogue(products, from*7919) > 0 {
			work.Write([]byte{'.'})
		}
		if *pause > 0 {
			time.Sleep(*pause)
		}
	}
}
