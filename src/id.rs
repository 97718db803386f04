//! Ids: the one file that names uuid.

use serde_json::json;
use uuid::Uuid;

/// The namespace of the ids made by [`of`]. Itself of version 5, from the DNS namespace and the name
/// `telemetry-upload`; it never changes, or what was recorded twice would count twice.
const NAMESPACE: Uuid = Uuid::from_u128(0xe014_9a7c_c95c_53ce_8f47_ee81_57f6_616b);

/// A fresh id, UUID version 4.
pub fn random() -> String {
    Uuid::new_v4().to_string()
}

/// The one id of these parts, UUID version 5: the same parts have the same id on every machine and
/// in every version of this program. None of the parts can be read from it.
pub fn of(parts: &[&str]) -> String {
    // As JSON no two lists of parts look the same, whatever characters a part holds.
    Uuid::new_v5(&NAMESPACE, json!(parts).to_string().as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_these_parts_never_change() {
        assert_eq!(
            Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"telemetry-upload"),
            NAMESPACE
        );
        assert_eq!(
            of(&["claude", "session"]),
            "9b2e8d8b-1af4-521a-9456-5900cbfccef1"
        );
    }

    #[test]
    fn other_parts_have_another_id() {
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a", "b"]), of(&["a\",\"b"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(random(), random());
    }
}
