//! Setters of option structs. Other crates can't write these structs as literals, so that options
//! may be added.

/// Gives a struct a setter for each of its public fields, by the field's name.
macro_rules! setters {
    ($type:ty { $($field:ident: $value:ty,)* }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.",
                    stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: $value) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

pub(crate) use setters;
