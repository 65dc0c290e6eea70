//! Plugins for the Sluice gateway, as WASM modules. No dependencies, Rust 1.63 or later.
//!
//! A plugin implements [`Plugin`] and is made the guest of its module with [`register!`]:
//!
//! ```
//! use sluice::{Error, Manifest, Plugin, Records};
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     fn on_produce(&mut self, records: &mut Records) -> Result<(), Error> {
//!         for record in records.iter() {
//!             record.add_header("hello", Some(b"world"));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! sluice::register!("hello", Hello, Manifest::new().produce());
//! # fn main() {}
//! ```
//!
//! The contract is described in sdk/ABI.md. Natively, host functions are those of [`testing`], so that `cargo test` needs
//! neither WASM nor a gateway.

#![warn(missing_docs)]

#[allow(missing_docs)]
pub mod abi;
mod block;
mod call;
pub mod config;
mod edits;
mod error;
mod guest;
pub mod host;
pub mod json;
mod manifest;
mod message;
mod plugin;
mod record;
mod records;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
pub mod exports;

pub use call::Call;
pub use error::{code, Error};
pub use guest::Guest;
pub use host::{log, Level, Metric};
pub use manifest::Manifest;
pub use message::{Request, Response};
pub use plugin::{Event, Plugin, Session};
pub use record::{Headers, Record};
pub use records::{Group, Records};
