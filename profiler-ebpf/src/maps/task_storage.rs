//! Values that belong to threads: `BPF_MAP_TYPE_TASK_STORAGE`, which aya has no type for.

use core::{marker::PhantomData, ptr};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE},
    helpers::generated::bpf_task_storage_get,
};

use crate::kernel::Object;

/// `BPF_LOCAL_STORAGE_GET_F_CREATE` in the kernel's `bpf.h`.
const CREATE: u64 = 1;

/// A map definition as loaders read it from BTF: numbers are the lengths of arrays that do not exist.
#[repr(C)]
pub(crate) struct TaskStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
    _value: PhantomData<T>,
}

// SAFETY: the pointers are descriptions and never followed; the kernel synchronizes access to the map.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
            _value: PhantomData,
        }
    }

    /// The value of this thread, if it has one. Like any reference to a map's value it is good until the hook returns; others
    /// have one as well, so what changes in it has to be in cells.
    #[inline(always)]
    pub(crate) fn get<'a>(&self, task: Object) -> Option<&'a T> {
        self.lookup(task, 0)
    }

    /// The value of this thread, all zeros if it had none. Allocates: not under a scheduler's lock.
    #[inline(always)]
    pub(crate) fn get_or_insert<'a>(&self, task: Object) -> Option<&'a T> {
        self.lookup(task, CREATE)
    }

    #[inline(always)]
    fn lookup<'a>(&self, task: Object, flags: u64) -> Option<&'a T> {
        // SAFETY: the map is of this type; without an initial value the kernel clears what it creates.
        let value: *const T = unsafe {
            bpf_task_storage_get(
                ptr::from_ref(self).cast_mut().cast(),
                task.cast_mut().cast(),
                ptr::null_mut(),
                flags,
            )
        }
        .cast();
        // SAFETY: a live map value or NULL. The kernel frees values a grace period after their threads.
        unsafe { value.as_ref() }
    }
}
