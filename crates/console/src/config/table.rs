//! Tables whose keys are converted to something else, so that what is wrong with them is told with their place.
//!
//! The parser knows where an error happened only while it reads the table, so the conversion runs inside of that.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};

/// Reads the keys `K` of a table and converts them.
///
/// # Errors
/// Those of the keys, and of the conversion, with the place of the table.
pub(super) fn convert<'de, D: Deserializer<'de>, K: DeserializeOwned, T>(
    deserializer: D,
    conversion: impl FnOnce(K) -> Result<T, String>,
) -> Result<T, D::Error> {
    deserializer.deserialize_map(Conversion { conversion, keys: PhantomData })
}

struct Conversion<F, K> {
    conversion: F,
    keys: PhantomData<K>,
}

impl<'de, K: DeserializeOwned, T, F: FnOnce(K) -> Result<T, String>> Visitor<'de>
    for Conversion<F, K>
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let keys = K::deserialize(MapAccessDeserializer::new(map))?;
        (self.conversion)(keys).map_err(A::Error::custom)
    }
}
