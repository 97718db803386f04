//! Names and what belongs to them, in their order: a map that is a mere list as long as it is short, which
//! what an event holds nearly always is. Looking through a dozen names costs less than hashing one.

use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::HashMap;

/// Names that are looked through one by one. With more of them a hash finds the place: a line of 32 KiB may
/// have 5,000, and each is looked for among all.
const LOOKED_THROUGH_MAX: usize = 64;

/// Pairs of a name and a value, in the order in which the names came.
#[derive(Clone, Debug)]
pub struct Pairs<'a, V> {
    list: Vec<(Cow<'a, str>, V)>,
    /// The place of each name, once there are more than [`LOOKED_THROUGH_MAX`].
    #[allow(
        clippy::box_collection,
        reason = "it is hardly ever there, and would make every field three times as large"
    )]
    places: Option<Box<HashMap<Cow<'a, str>, usize>>>,
}

impl<'a, V> Pairs<'a, V> {
    /// None yet, and room for so many.
    pub fn with_room(count: usize) -> Pairs<'a, V> {
        Pairs {
            list: Vec::with_capacity(count),
            places: None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// What belongs to this name.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.place(name).map(|place| &self.list[place].1)
    }

    /// Adds a pair. Of equal names the last one's value counts, in the place of the first.
    pub fn insert(&mut self, name: Cow<'a, str>, value: V) {
        match self.place(&name) {
            Some(place) => self.list[place].1 = value,
            None => self.push(name, value),
        }
    }

    /// Adds a pair whose name is not there yet.
    pub fn push(&mut self, name: Cow<'a, str>, value: V) {
        if let Some(places) = &mut self.places {
            places.insert(name.clone(), self.list.len());
        }
        self.list.push((name, value));
        if self.places.is_none() && self.list.len() > LOOKED_THROUGH_MAX {
            self.note_places();
        }
    }

    /// Takes a pair out; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        let (_, value) = self.list.remove(self.place(name)?);
        if self.places.is_some() {
            self.note_places();
        }
        Some(value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.list.iter().map(|(name, value)| (&**name, value))
    }

    fn place(&self, name: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(name).copied(),
            None => self.list.iter().position(|(known, _)| known == name),
        }
    }

    fn note_places(&mut self) {
        let names = self.list.iter().map(|(name, _)| name.clone());
        self.places = Some(Box::new(names.zip(0..).collect()));
    }
}

impl<'a, V> IntoIterator for Pairs<'a, V> {
    type Item = (Cow<'a, str>, V);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a, V> FromIterator<(Cow<'a, str>, V)> for Pairs<'a, V> {
    fn from_iter<T: IntoIterator<Item = (Cow<'a, str>, V)>>(pairs: T) -> Self {
        let mut all = Pairs::with_room(0);
        for (name, value) in pairs {
            all.insert(name, value);
        }
        all
    }
}

impl<V: PartialEq> PartialEq for Pairs<'_, V> {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl<V: Serialize> Serialize for Pairs<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    proptest! {
        #[test]
        fn they_are_what_a_map_is_that_keeps_the_order_however_many_there_are(
            pairs in prop::collection::vec((0u8..150, any::<u8>()), 0..300), removed in prop::collection::vec(0u8..150, 0..9)
        ) {
            let mut plain: Map<String, Value> = Map::new();
            let mut found: Pairs<u8> = Pairs::with_room(4);
            for (name, value) in pairs {
                plain.insert(name.to_string(), value.into());
                found.insert(name.to_string().into(), value);
            }
            for name in removed {
                let name = name.to_string();
                prop_assert_eq!(found.remove(&name).map(Value::from), plain.shift_remove(&name));
            }
            prop_assert_eq!(serde_json::to_string(&found).unwrap(), serde_json::to_string(&plain).unwrap());
            for name in 0..150u8 {
                let name = name.to_string();
                prop_assert_eq!(found.get(&name).copied().map(Value::from), plain.get(&name).cloned());
                prop_assert_eq!(found.has(&name), plain.contains_key(&name));
            }
            prop_assert_eq!((found.len(), found.is_empty()), (plain.len(), plain.is_empty()));
        }
    }
}
