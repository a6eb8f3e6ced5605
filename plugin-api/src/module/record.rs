//! Records that may grow.

/// Declares a record that may grow:
/// `pub struct Record crosses as Object = Stable_TO of Stable`.
///
/// In Rust it is a plain struct. What crosses the boundary is an `Object` with
/// a getter for each field, from which the receiving side makes its own struct.
/// So an older side never asks for the fields of a newer contract; and in a
/// record that an older side sent, the fields that it does not have are the
/// default of their type.
///
/// `required` fields belong to the first version of the contract. A new field
/// is appended to `optional`. The order is the layout: nothing may be inserted,
/// moved, removed or changed.
macro_rules! growing_record {
    (
        $(#[$about:meta])*
        pub struct $record:ident crosses as $object:ident = $stable_to:ident of $stable:ident {
            required { $($(#[doc = $doc:literal])* $field:ident: $type:ty,)* }
            optional { $($(#[doc = $more_doc:literal])* $more:ident: $more_type:ty,)* }
        }
    ) => {
        $(#[$about])*
        pub struct $record {
            $($(#[doc = $doc])* pub $field: $type,)*
            $($(#[doc = $more_doc])* pub $more: $more_type,)*
        }

        #[::abi_stable::sabi_trait]
        pub(crate) trait $stable: Send + Sync {
            $(fn $field(&self) -> $type;)*

            #[sabi(last_prefix_field)]
            fn contract_version(&self) -> $crate::ffi::TextRef<'static>;

            $(
                fn $more(&self) -> $more_type {
                    <$more_type>::default()
                }
            )*
        }

        impl $stable for $record {
            $(
                fn $field(&self) -> $type {
                    self.$field.clone()
                }
            )*

            fn contract_version(&self) -> $crate::ffi::TextRef<'static> {
                $crate::loading::CONTRACT_VERSION.into()
            }

            $(
                fn $more(&self) -> $more_type {
                    self.$more.clone()
                }
            )*
        }

        #[doc = concat!("A [`", stringify!($record), "`] as it crosses the boundary.")]
        pub(crate) type $object = $stable_to<'static, $crate::ffi::Boxed<()>>;

        impl From<$record> for $object {
            fn from(record: $record) -> Self {
                Self::from_value(record, ::abi_stable::erased_types::TD_Opaque)
            }
        }

        impl From<$object> for $record {
            fn from(object: $object) -> Self {
                Self {
                    $($field: object.$field(),)*
                    $($more: object.$more(),)*
                }
            }
        }
    };
}

pub(super) use growing_record;
