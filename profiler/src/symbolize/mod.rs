//! Addresses to names: kernel, ELF, Go, JIT maps.
