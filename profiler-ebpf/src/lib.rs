//! The border between the two halves of ctprof, and nothing else: the types that cross it, the names of
//! the read-only globals that the loader sets, and logic pure enough to be tested on the host.
//!
//! Rules of the border: `#[repr(C)]`, explicit padding, a size assert for every type; no `Option`, `bool`
//! or `enum` in a record, because the other half may be a different build and must survive a value it
//! does not know.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

/// The table of views, as the border has it: the records of each, which are in the file `abi` of its directory, its number,
/// what it keeps of a thread, and what it can lose.
macro_rules! views {
    ($($view:ident,)*) => {
        $(
            #[doc = concat!("The view `", stringify!($view), "`.")]
            pub mod $view {
                pub mod abi;
            }
        )*

        /// Every view of the kernel half.
        #[expect(non_camel_case_types, reason = "each is called what its directory is")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum View {
            $(
                #[doc = concat!("See [`", stringify!($view), "`].")]
                $view,
            )*
        }

        impl View {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$view,)*];
        }

        /// What views keep of a thread.
        #[repr(C)]
        #[derive(Debug, Default)]
        pub struct OfThread {
            $(
                #[doc = concat!("See [`", stringify!($view), "`].")]
                pub $view: $view::abi::OfThread,
            )*
        }

        /// Names of what each view can lose, in the order of [`View::ALL`].
        pub const LOSSES: &[&[&str]] = &[$($view::abi::LOSSES,)*];
    };
}

pub mod abi;
pub mod hash;
pub mod histogram;
pub mod ledger;
pub mod opaque;
pub mod shared;
pub mod timeline;
pub mod unwind;
pub mod views;
