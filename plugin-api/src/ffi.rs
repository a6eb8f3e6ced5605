//! Plain names for the ABI library's types.
//!
//! These types have one memory layout whatever compiled either side, so they
//! may cross the boundary; Rust's own `String`, `Vec` and `Option` may not. The
//! contract's signatures use these names only: replacing the ABI library means
//! replacing this file and the derives.
//!
//! Each converts from and into its counterpart of the standard library without
//! a copy, with `from` and `into`.

/// A shared value: `Arc<T>`.
pub use abi_stable::std_types::RArc as Shared;
/// A value on the heap: `Box<T>`.
pub use abi_stable::std_types::RBox as Boxed;
/// A time span: `Duration`.
pub use abi_stable::std_types::RDuration as TimeSpan;
/// A value that may be absent: `Option<T>`.
pub use abi_stable::std_types::ROption as Maybe;
/// A value or an error: `Result<T, E>`.
pub use abi_stable::std_types::RResult as Outcome;
/// Borrowed items: `&[T]`.
pub use abi_stable::std_types::RSlice as ListRef;
/// Borrowed text: `&str`.
pub use abi_stable::std_types::RStr as TextRef;
/// Text: `String`.
pub use abi_stable::std_types::RString as Text;
/// A list: `Vec<T>`.
pub use abi_stable::std_types::RVec as List;
/// Two values: `(A, B)`.
pub use abi_stable::std_types::Tuple2 as Pair;
