//! What a field is called on the wire, and what its name says about whether it may leave. The same few
//! names come with every event of a batch, so each is looked at once.

use crate::field::Field;
use crate::privacy::{self, KNOWN, OfName, Policy, Ruling, snake_case};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Names that are remembered: more than all hosts together have, and no more than can be looked through.
const REMEMBERED_MAX: usize = 100;

/// What is to be known of one name.
#[derive(Debug)]
pub struct Naming {
    /// As it stands in the line.
    pub name: String,
    /// As it is called on the wire.
    pub key: String,
    /// Its place among the known fields, which come first and in their own order.
    pub rank: usize,
    /// What it says.
    pub says: OfName,
    /// The last text of this name that leaves.
    left: LastText,
}

/// A text that was found to leave. Producers write the same version, platform and agent into event after
/// event: what left a moment ago need not be looked at again.
#[derive(Clone, Debug, Default)]
pub struct LastText(RefCell<Option<String>>);

impl LastText {
    /// Whether it is this one.
    pub fn is(&self, text: &str) -> bool {
        self.0.borrow().as_deref() == Some(text)
    }

    /// It is this one from now on.
    pub fn note(&self, text: &str) {
        let mut last = self.0.borrow_mut();
        let last = last.get_or_insert_default();
        last.clear();
        last.push_str(text);
    }
}

impl Naming {
    fn new(name: &str, policy: &Policy) -> Naming {
        let known = KNOWN.iter().flat_map(|(camel, snake)| [*camel, *snake]);
        Naming {
            name: name.to_owned(),
            key: match name {
                "atomicVersion" | "atomic_version" => "version".to_owned(),
                _ => snake_case(name),
            },
            rank: known
                .enumerate()
                .find(|(_, known)| *known == name)
                .map_or(usize::MAX, |(rank, _)| rank),
            says: privacy::judge_name(policy, name),
            left: LastText::default(),
        }
    }

    /// Whether a field of this name leaves.
    pub fn rule(&self, value: &Field) -> Ruling {
        let text = value.as_str();
        if text.is_some_and(|text| self.left.is(text)) {
            return Ruling::Leaves;
        }
        let ruling = privacy::rule(self.says, &self.name, value);
        if let (Some(text), Ruling::Leaves) = (text, ruling) {
            self.left.note(text);
        }
        ruling
    }
}

/// The names that came along under one policy.
#[derive(Clone, Debug, Default)]
pub struct Namings {
    known: RefCell<Vec<Rc<Naming>>>,
    /// Where the next name probably stands: producers write the same fields in the same order.
    next: Cell<usize>,
}

impl Namings {
    /// What is to be known of this name, always under the same policy.
    pub fn of(&self, name: &str, policy: &Policy) -> Rc<Naming> {
        let mut known = self.known.borrow_mut();
        let (before, after) = known.split_at(self.next.get().min(known.len()));
        let mut places = (before.len()..known.len())
            .zip(after)
            .chain((0..).zip(before));
        if let Some((place, naming)) = places.find(|(_, naming)| naming.name == name) {
            self.next.set(place + 1);
            return Rc::clone(naming);
        }
        let naming = Rc::new(Naming::new(name, policy));
        if known.len() < REMEMBERED_MAX {
            known.push(Rc::clone(&naming));
        }
        naming
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_at_once_and_always_found_again() {
        let namings = Namings::default();
        let names: Vec<String> = (0..REMEMBERED_MAX + 50)
            .map(|n| format!("name{n}"))
            .collect();
        let of = |name: &str| namings.of(name, &Policy::Default);
        for _ in 0..2 {
            for name in names.iter().chain(names.iter().rev()) {
                assert_eq!(of(name).name, *name);
            }
        }
        assert!(Rc::ptr_eq(&of("name7"), &of("name7")));
        assert!(!Rc::ptr_eq(&of("name149"), &of("name149")), "bounded");
    }

    #[test]
    fn what_left_a_moment_ago_leaves_again_and_nothing_else_does() {
        let naming = Naming::new("model", &Policy::Default);
        let rule = |text: &'static str| naming.rule(&Field::Text(text.into()));
        for _ in 0..2 {
            assert_eq!(rule("claude"), Ruling::Leaves);
            assert_eq!(rule("claude"), Ruling::Leaves);
            assert_eq!(rule("anna@example.org"), Ruling::Stays);
            assert_eq!(rule("anna@example.org"), Ruling::Stays);
            assert_eq!(rule(""), Ruling::Leaves);
        }
    }

    #[test]
    fn known_names_have_their_rank_and_others_none() {
        let of = |name: &str| Namings::default().of(name, &Policy::Default).rank;
        assert_eq!(of("eventId"), 0);
        assert_eq!(of("event_id"), 1);
        assert_eq!(of("version"), 8);
        assert_eq!(of("commands"), 12);
        assert_eq!(of("model"), usize::MAX);
    }

    #[test]
    fn the_version_of_atomic_is_called_version() {
        let of = |name: &str| Namings::default().of(name, &Policy::Default).key.clone();
        assert_eq!(of("atomicVersion"), "version");
        assert_eq!(of("atomic_version"), "version");
        assert_eq!(of("agentType"), "agent_type");
    }
}
