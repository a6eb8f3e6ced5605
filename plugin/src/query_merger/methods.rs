//! [`merged_reads!`]: the read methods that differ only in what is data about
//! them. Those with a shape of their own are written out beside them.

/// Defines read methods of [`QueryMerger`](super::QueryMerger), each of one of
/// these forms:
///
/// ```text
/// point method(argument: type, …) -> Answer;
/// list method(argument: type, …) -> Answer, order;
/// top method(argument: type, …) -> Answer, order;
/// ```
///
/// `point` reads one row, `list` all rows that match, `top` as many as a last
/// argument `limit` says. Types are written as in the contract.
macro_rules! merged_reads {
    ($(
        $form:ident $method:ident($($argument:ident: $type:tt),*) -> $answer:ident $(, $order:path)?;
    )*) => {
        impl $crate::query_merger::QueryMerger {
            $(
                $crate::query_merger::methods::merged_read! {
                    $form $method($($argument: $type),*) -> $answer $(, $order)?
                }
            )*
        }
    };
}

macro_rules! merged_read {
    (point $method:ident($($argument:ident: $type:tt),*) -> $answer:ident) => {
        /// See the contract.
        ///
        /// # Errors
        /// The primary's.
        pub fn $method(
            &self,
            context: &CallContext,
            $($argument: rust_type!($type)),*
        ) -> StorageResult<$answer> {
            $(let $argument = $argument.to_owned();)*
            let found = self.point($crate::query_merger::read_specs::ReadMethod::$method, context, move |backend: &dyn Backend, context: &CallContext| {
                Ok(backend.$method(context $(, &$argument)*)?.into_option())
            })?;
            Ok(found.into())
        }
    };
    (list $method:ident($($argument:ident: $type:tt),*) -> $answer:ident, $order:path) => {
        /// See the contract.
        ///
        /// # Errors
        /// The primary's.
        pub fn $method(
            &self,
            context: &CallContext,
            $($argument: rust_type!($type)),*
        ) -> StorageResult<$answer> {
            $(let $argument = $argument.to_owned();)*
            self.list($crate::query_merger::read_specs::ReadMethod::$method, context, $order, None, move |backend, context, _| {
                backend.$method(context $(, &$argument)*)
            })
        }
    };
    (top $method:ident($($argument:ident: $type:tt),*) -> $answer:ident, $order:path) => {
        /// See the contract.
        ///
        /// # Errors
        /// The primary's.
        pub fn $method(
            &self,
            context: &CallContext,
            $($argument: rust_type!($type),)*
            limit: u32,
        ) -> StorageResult<$answer> {
            $(let $argument = $argument.to_owned();)*
            let limit = $crate::query_merger::read_specs::$method.limit_or_default(limit);
            self.list($crate::query_merger::read_specs::ReadMethod::$method, context, $order, limit, move |backend, context, limit| {
                backend.$method(context $(, &$argument)*, limit)
            })
        }
    };
}

pub(super) use {merged_read, merged_reads};
