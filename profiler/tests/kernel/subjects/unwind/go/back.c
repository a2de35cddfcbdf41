//go:build cgo

extern long goBack(long);

/* Apart, because a file that exports functions must not define any. */
__attribute__((noinline)) long back(long n) { return goBack(n) + 1; }
