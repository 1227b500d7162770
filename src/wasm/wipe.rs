//! Memory that is given back is wiped first.
//!
//! Secrets that the core owns wipe themselves (`Secret`). Tokens also pass through texts that others
//! make: answers as they came, JSON that is being read or written, arguments on their way over the
//! boundary. None of that stays in linear memory once it is freed, so after a sign-out no script and
//! no crash report finds a token there. A list that grows is moved and its old place wiped as well.
//!
//! It is a feature of its own (`wipe`), because a program has one allocator: whoever uses the crate in
//! a module of their own decides on theirs.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which forgets what it is given back.
struct Wiping;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

// SAFETY: what it hands out is the system's, and it is written to only while it is still the caller's.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the place is the caller's and as long as it says until it is given back here.
        unsafe {
            place.write_bytes(0, layout.size());
            System.dealloc(place, layout);
        }
    }
}
