//! The list of methods as data.

/// What a method does to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// Administers the database: primary only.
    Admin,
    /// Writes rows: replicated.
    Write,
    /// Reads rows: merged.
    Read,
    /// Deletes rows: primary only.
    Delete,
}

/// One method of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The trait that it belongs to.
    pub trait_name: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it does to the data.
    pub kind: MethodKind,
    /// The table that it is about; `*` for several, empty for none.
    pub table: &'static str,
    /// The names of its arguments after the context.
    pub arguments: &'static [&'static str],
    /// The version of the contract that it came with.
    pub since: &'static str,
    /// What it does, in a sentence or two.
    pub about: &'static str,
}

/// The version of the contract that the first 64 methods came with.
const FIRST_VERSION: &str = "0.1.0";

macro_rules! since {
    () => {
        FIRST_VERSION
    };
    ($since:literal) => {
        $since
    };
}

macro_rules! kind {
    (admin) => {
        MethodKind::Admin
    };
    (write) => {
        MethodKind::Write
    };
    (read) => {
        MethodKind::Read
    };
    (delete) => {
        MethodKind::Delete
    };
}

macro_rules! table_of_methods {
    ($(
        $(#[$($about:tt)*])*
        trait $trait:ident via $stable:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[since = $since:literal])?
                [$kind:ident $table:literal]
                fn $method:ident($($argument:ident: $type:tt),*) -> $answer:ident;
            )*
        }
    )*) => {
        /// All 64 methods, in the order of the contract.
        pub const METHODS: &[Method] = &[
            $($(
                Method {
                    trait_name: stringify!($trait),
                    name: stringify!($method),
                    kind: kind!($kind),
                    table: $table,
                    arguments: &[$(stringify!($argument)),*],
                    since: since!($($since)?),
                    about: concat!($($doc),*),
                },
            )*)*
        ];
    };
}

storage_methods!(table_of_methods);

/// The method of that name.
pub fn method(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_has_64_methods_in_three_traits() {
        let of = |name| METHODS.iter().filter(|m| m.trait_name == name).count();
        assert_eq!(
            [of("Storage"), of("StatsProvider"), of("CodeStorage")],
            [33, 2, 29]
        );
        assert_eq!(METHODS.len(), 64);
    }

    #[test]
    fn every_method_says_what_it_does() {
        for method in METHODS {
            assert!(method.about.trim().ends_with('.'), "{}", method.name);
        }
    }
}
