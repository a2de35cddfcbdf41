//! Words that two CPUs may use at the same time.

use core::{cell::UnsafeCell, fmt};

/// A word that is read and written in a single access, every time that it is asked for (`READ_ONCE` and `WRITE_ONCE` in the
/// kernel). That orders nothing but accesses to other such words of the same CPU.
#[repr(transparent)]
#[derive(Default)]
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: the value is only ever copied as a whole, and `T` is a word: see `new`.
unsafe impl<T: Copy + Send> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// A word with this value.
    #[inline(always)]
    #[must_use]
    pub const fn new(value: T) -> Self {
        const { assert!(size_of::<T>() == align_of::<T>() && size_of::<T>() <= 8) };
        Self(UnsafeCell::new(value))
    }

    /// Its current value.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> T {
        // SAFETY: a live, aligned word, of which every value is one of `T`.
        unsafe { self.0.get().read_volatile() }
    }

    /// Sets it.
    #[inline(always)]
    pub fn set(&self, value: T) {
        // SAFETY: as above; nobody has a reference to the value.
        unsafe { self.0.get().write_volatile(value) };
    }

    /// For atomic operations, which the BPF target has as intrinsics only.
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}
