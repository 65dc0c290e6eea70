//! What a module exports, behind [`register!`](crate::register).

/// Makes a plugin the guest of this module: `register!(name, plugin, manifest)`. It also makes a function
/// `sluice_guest`, for tests.
#[macro_export]
macro_rules! register {
    ($name:expr, $plugin:expr, $manifest:expr) => {
        /// The registered guest.
        #[allow(dead_code)]
        fn sluice_guest() -> $crate::Guest {
            $crate::Guest::new($name, $plugin, $manifest)
        }

        #[cfg(target_arch = "wasm32")]
        mod sluice_exports {
            use super::sluice_guest as new;
            use $crate::exports as run;

            #[no_mangle]
            extern "C" fn sluice_abi() -> i32 {
                $crate::abi::VERSION as i32
            }
            #[no_mangle]
            extern "C" fn sluice_alloc(size: u32) -> u32 {
                run::alloc(new, size)
            }
            #[no_mangle]
            extern "C" fn sluice_manifest() -> i64 {
                run::manifest(new)
            }
            #[no_mangle]
            extern "C" fn sluice_configure(n: u32) -> i64 {
                run::configure(new, n)
            }
            #[no_mangle]
            extern "C" fn sluice_on_records(n: u32) -> i64 {
                run::call(new, n)
            }
            #[no_mangle]
            extern "C" fn sluice_on_request(n: u32) -> i64 {
                run::call(new, n)
            }
            #[no_mangle]
            extern "C" fn sluice_on_response(n: u32) -> i64 {
                run::call(new, n)
            }
            #[no_mangle]
            extern "C" fn sluice_on_session(n: u32) -> i64 {
                run::call(new, n)
            }
            #[no_mangle]
            extern "C" fn sluice_on_tick(now_ms: i64) {
                run::tick(new, now_ms)
            }
            #[no_mangle]
            extern "C" fn sluice_self_test() -> i64 {
                run::self_test(new)
            }
            #[no_mangle]
            extern "C" fn sluice_close() {
                run::close(new)
            }
        }
    };
}

#[cfg(target_arch = "wasm32")]
mod module {
    use crate::{host, Guest, Level};
    use std::cell::UnsafeCell;

    /// The state of a module: one guest, its input buffer, and a text that the gateway reads.
    struct Module {
        guest: Guest,
        input: Vec<u8>,
        text: String,
    }

    struct Only(UnsafeCell<Option<Module>>);

    // An instance has one thread.
    unsafe impl Sync for Only {}

    static ONLY: Only = Only(UnsafeCell::new(None));

    fn module(new: fn() -> Guest) -> &'static mut Module {
        // An instance serves one call at a time, and no import calls the guest: nobody else has the reference.
        let slot = unsafe { &mut *ONLY.0.get() };
        slot.get_or_insert_with(|| {
            // A trap says nothing of what panicked, and where.
            std::panic::set_hook(Box::new(|info| {
                host::log(Level::Error, format_args!("{}", info))
            }));
            Module {
                guest: new(),
                input: Vec::new(),
                text: String::new(),
            }
        })
    }

    fn pack(b: &[u8]) -> i64 {
        (b.as_ptr() as i64) << 32 | b.len() as i64
    }

    fn says(m: &mut Module, result: Result<(), String>) -> i64 {
        match result {
            Ok(()) => 0,
            Err(e) => {
                m.text = e;
                pack(m.text.as_bytes())
            }
        }
    }

    pub fn alloc(new: fn() -> Guest, size: u32) -> u32 {
        let m = module(new);
        if m.input.len() < size as usize {
            m.input = Vec::new(); // free the old one first
            m.input = vec![0; size.next_power_of_two() as usize];
        }
        m.input.as_ptr() as u32
    }

    pub fn manifest(new: fn() -> Guest) -> i64 {
        let m = module(new);
        m.text = m.guest.manifest();
        pack(m.text.as_bytes())
    }

    pub fn configure(new: fn() -> Guest, n: u32) -> i64 {
        let m = module(new);
        let result = m.guest.configure(&m.input[..n as usize]);
        says(m, result)
    }

    pub fn call(new: fn() -> Guest, n: u32) -> i64 {
        let m = module(new);
        m.guest.call(&mut m.input[..n as usize]).map_or(0, pack)
    }

    pub fn tick(new: fn() -> Guest, now_ms: i64) {
        module(new).guest.plugin.on_tick(now_ms);
    }

    pub fn self_test(new: fn() -> Guest) -> i64 {
        let m = module(new);
        let result = m.guest.plugin.self_test();
        says(m, result)
    }

    pub fn close(new: fn() -> Guest) {
        module(new).guest.plugin.close();
    }
}

#[cfg(target_arch = "wasm32")]
pub use module::*;
