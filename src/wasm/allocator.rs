//! The allocator of the npm package's modules.
//!
//! talc in place of the library's dlmalloc: a quarter of its code, as fast. It knows one thread, as a module
//! without shared memory has.
//!
//! With the feature `wipe` memory that is given back is wiped first. Secrets that the core owns wipe
//! themselves (`Secret`). Tokens also pass through texts that others make: answers as they came, JSON
//! that is being read or written, arguments on their way over the boundary. None of that stays in linear
//! memory once it is freed, so after a sign-out no script and no crash report finds a token there. A list
//! that grows is moved and its old place wiped as well.
//!
//! Both are features, because a program has one allocator: whoever uses the crate in a module of their own
//! decides on theirs.

#[cfg(feature = "wipe")]
use std::alloc::{GlobalAlloc, Layout};

use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

#[cfg(not(feature = "wipe"))]
#[global_allocator]
static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();

#[cfg(feature = "wipe")]
#[global_allocator]
static ALLOCATOR: Wiping = Wiping(new_wasm_dynamic_allocator());

/// An allocator that forgets what it is given back.
#[cfg(feature = "wipe")]
struct Wiping(WasmDynamicTalc);

// SAFETY: what it hands out is the other's, and it is written to only while it is still the caller's.
#[cfg(feature = "wipe")]
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the place is the caller's and as long as it says until it is given back here.
        unsafe {
            place.write_bytes(0, layout.size());
            self.0.dealloc(place, layout);
        }
    }
}
