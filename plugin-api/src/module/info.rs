//! [`ModuleInfo`]: what a module says about itself.

use super::record::growing_record;
use crate::ffi::Text;
use serde::Serialize;

growing_record! {
    /// What a module says about itself.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct ModuleInfo crosses as InfoObject = StableInfo_TO of StableInfo {
        required {
            /// Its name in the host's configuration: `commercial_db-sync-server`.
            id: Text,
        }
        optional {
            /// Its name for people.
            name: Text,
            /// What it does, in a sentence.
            description: Text,
            /// Its own version, not the contract's.
            version: Text,
            /// Who made it.
            author: Text,
            /// The license that it is under.
            license: Text,
            /// The commit that its library was built from, if that is known.
            commit: Text,
            /// The version of the SurrealDB client in its library, if there is one.
            surrealdb_client: Text,
            /// The platform that its library is for.
            target: Text,
            /// The profile that its library was built with, such as `release`.
            profile: Text,
        }
    }
}
