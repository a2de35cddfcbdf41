//go:build cgo

package main

/*
long back(long n);

__attribute__((noinline)) static long spin(long n) {
	volatile long sum = 0;
	for (long i = 0; i < n; i++) sum += i;
	return sum;
}

__attribute__((noinline)) static long native(long n) { return spin(n) + 1; }
*/
import "C"

//export goBack
func goBack(n C.long) C.long { return C.long(middle(int(n))) }

// Into C, and into C that calls back.
//
//go:noinline
func called() {
	sink += int(C.native(100000))
	sink += int(C.back(100000))
}
