//! Many entries of a map in one call, which aya has nothing for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::Pod;
use aya::maps::{HashMap, IterableMap};

use super::loader::Owned;

/// `BPF_MAP_LOOKUP_BATCH` of `linux/bpf.h`; arrays and hashes have it since Linux 5.6.
const LOOKUP_BATCH: libc::c_long = 24;
/// `BPF_MAP_LOOKUP_AND_DELETE_BATCH`, for hashes.
const LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;

/// Entries of a hash in one call, at first: half a MiB of stacks. The kernel hands over whole buckets.
const ENTRIES: usize = 512;

/// Tries at a bucket that another CPU holds before reading is given up.
const MAX_TRIES: u32 = 1_000;

/// How often the readers of one object's maps found a bucket held by another CPU, and tried again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retries(Arc<AtomicU64>);

impl Retries {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Its part of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The first entries of an array of 8-byte values, as many as fit `values`.
///
/// # Errors
/// What the kernel says.
pub(super) fn read_array(map: BorrowedFd<'_>, values: &mut [u64]) -> io::Result<()> {
    let mut keys = vec![0_u32; values.len()];
    let mut next = 0_u32;
    let count = u32::try_from(values.len()).map_err(io::Error::other)?;
    let mut batch = Batch {
        out_batch: (&raw mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count,
        map_fd: map.as_raw_fd().cast_unsigned(),
        ..Batch::default()
    };
    // SAFETY: both buffers live through the call and have room for `count` entries of 4 and 8 bytes.
    let done = unsafe { call(LOOKUP_BATCH, &mut batch) };
    // An array that ends here says so with ENOENT, and has filled in everything.
    match done {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// Hands every entry of a hash to `take`.
///
/// # Errors
/// What the kernel says.
pub(crate) fn read<K: Pod, V: Pod>(
    map: &HashMap<Owned, K, V>,
    retries: &Retries,
    take: impl FnMut(K, V),
) -> io::Result<()> {
    entries(map, LOOKUP_BATCH, retries, take)
}

/// Hands every entry of a hash to `take` and removes it, in one step: nothing is added to it in between.
///
/// # Errors
/// What the kernel says.
pub(super) fn drain<K: Pod, V: Pod>(
    map: &mut HashMap<Owned, K, V>,
    retries: &Retries,
    take: impl FnMut(K, V),
) -> io::Result<()> {
    entries(map, LOOKUP_AND_DELETE_BATCH, retries, take)
}

fn entries<K: Pod, V: Pod>(
    map: &HashMap<Owned, K, V>,
    command: libc::c_long,
    retries: &Retries,
    mut take: impl FnMut(K, V),
) -> io::Result<()> {
    let fd = IterableMap::map(map).fd().as_fd();
    let mut keys: Vec<K> = Vec::with_capacity(ENTRIES);
    let mut values: Vec<V> = Vec::with_capacity(ENTRIES);
    // Number of a bucket: where the next call goes on.
    let mut place = 0_u32;
    let mut first = true;
    let mut tries = 0;
    loop {
        let room = keys.capacity().min(values.capacity());
        let mut batch = Batch {
            in_batch: if first { 0 } else { (&raw const place) as u64 },
            out_batch: (&raw mut place) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(room).map_err(io::Error::other)?,
            map_fd: fd.as_raw_fd().cast_unsigned(),
            ..Batch::default()
        };
        // SAFETY: both buffers live through the call and have room for `count` entries of the sizes that aya has
        // checked the map for.
        let done = unsafe { call(command, &mut batch) };
        let error = done.err().and_then(|error| error.raw_os_error());
        let is_last = match error {
            None => false,
            // Another CPU holds the bucket: the next call goes on with it. Since 6.15 the kernel gives such a lock up after a
            // while, or where it would wait for itself, and says so.
            Some(libc::EBUSY | libc::ETIMEDOUT | libc::EDEADLK) if tries < MAX_TRIES => {
                tries += 1;
                retries.add_one();
                std::thread::yield_now();
                false
            }
            // The hash ends here.
            Some(libc::ENOENT) => true,
            // A bucket that is larger than the buffers: nothing was read.
            Some(libc::ENOSPC) => {
                keys.reserve(room * 2);
                values.reserve(room * 2);
                continue;
            }
            Some(other) => return Err(io::Error::from_raw_os_error(other)),
        };
        let count = room.min(batch.count as usize);
        // SAFETY: the kernel has filled in `count` entries, and every bit pattern is a value of a `Pod`.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        for (key, value) in keys.drain(..).zip(values.drain(..)) {
            take(key, value);
        }
        if is_last {
            return Ok(());
        }
        first = false;
        if count > 0 {
            tries = 0;
        }
    }
}

/// Calls the kernel, which writes the number of entries into `batch`.
///
/// # Safety
/// The buffers that `batch` names live through the call, and have room for as many entries as it says.
unsafe fn call(command: libc::c_long, batch: &mut Batch) -> io::Result<()> {
    // SAFETY: as above; the attributes are this command's part of `union bpf_attr`.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(batch),
            size_of::<Batch>(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
