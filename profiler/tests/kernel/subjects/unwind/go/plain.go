//go:build !cgo

package main

func called() {}
