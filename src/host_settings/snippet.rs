//! What we add to the settings of a host, and what adding and removing it means.
//!
//! Settings have a list for each event. An element of that list is an entry. A hook is what has a
//! command: it is the entry itself, or stands with others in the entry's own list, as in Claude's
//! format.

use super::plan::Standing;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The member of the settings that holds hooks.
pub(super) const HOOKS: &str = "hooks";

/// The hooks we add: for each event one entry. All run the same command, by which we know them again.
#[derive(Clone, Debug)]
pub(super) struct Snippet {
    entries: Vec<(String, Value)>,
    /// What the format demands beside the hooks.
    pub(super) beside: Vec<(String, Value)>,
    /// The command of every hook.
    pub(super) command: String,
}

impl Snippet {
    /// Reads one of our snippets.
    ///
    /// # Errors
    /// It is not one.
    pub(super) fn parse(snippet: &str) -> Result<Snippet> {
        let value: Value = serde_json::from_str(snippet).context("the snippet is not JSON")?;
        let mut entries = Vec::new();
        for (event, list) in value[HOOKS].as_object().into_iter().flatten() {
            for entry in list.as_array().into_iter().flatten() {
                entries.push((event.clone(), entry.clone()));
            }
        }
        let beside = value.as_object().into_iter().flatten();
        let beside = beside.filter(|(name, _)| *name != HOOKS);
        let command = entries.first().and_then(|(_, entry)| {
            let first = hooks(entry).first()?;
            Some(first["command"].as_str()?.to_owned())
        });
        Ok(Snippet {
            beside: beside
                .map(|(name, it)| (name.clone(), it.clone()))
                .collect(),
            command: command.context("the snippet has no command")?,
            entries,
        })
    }

    /// Whether these settings have the shape that our entries belong into.
    ///
    /// # Errors
    /// What has another shape.
    pub(super) fn check(&self, settings: &Value) -> Result<()> {
        let Some(settings) = settings.as_object() else {
            bail!("it is not a JSON object");
        };
        for (name, value) in &self.beside {
            if settings.get(name).is_some_and(|found| found != value) {
                bail!("its {name:?} is not {value}");
            }
        }
        let Some(events) = settings.get(HOOKS) else {
            return Ok(());
        };
        let Some(events) = events.as_object() else {
            bail!("its {HOOKS:?} is not an object");
        };
        let is_entry =
            |entry: &Value| entry.is_object() && entry.get(HOOKS).is_none_or(Value::is_array);
        for (event, _) in &self.entries {
            let Some(list) = events.get(event) else {
                continue;
            };
            if !list
                .as_array()
                .is_some_and(|list| list.iter().all(is_entry))
            {
                bail!("its hooks for {event} are not a list of hooks");
            }
        }
        Ok(())
    }

    /// How much of ours these settings have.
    pub(super) fn standing(&self, settings: &Value) -> Standing {
        if !self.is_anywhere(settings) {
            return Standing::Absent;
        }
        let missing: Vec<String> = self
            .missing(settings)
            .map(|(event, _)| event.clone())
            .collect();
        if missing.is_empty() {
            Standing::Installed
        } else {
            Standing::Partly(missing)
        }
    }

    /// Whether these settings have any hook of ours.
    pub(super) fn is_anywhere(&self, settings: &Value) -> bool {
        let events = settings.get(HOOKS).and_then(Value::as_object);
        events.is_some_and(|events| events.values().any(|list| self.is_in(list)))
    }

    /// The entries whose events do not have our command yet.
    pub(super) fn missing(&self, settings: &Value) -> impl Iterator<Item = &(String, Value)> {
        self.entries
            .iter()
            .filter(|(event, _)| !self.is_in(&settings[HOOKS][event]))
    }

    /// What the settings mean with our entries. They have passed [`Snippet::check`].
    pub(super) fn added(&self, settings: &Value) -> Value {
        let mut added = settings.clone();
        let Some(object) = added.as_object_mut() else {
            return added;
        };
        for (name, value) in &self.beside {
            object.entry(name).or_insert_with(|| value.clone());
        }
        let missing: Vec<_> = self.missing(settings).collect();
        if missing.is_empty() {
            return added;
        }
        let events = object.entry(HOOKS).or_insert_with(|| json!({}));
        for (event, entry) in missing {
            let events = events.as_object_mut();
            let list =
                events.map(|events| events.entry(event.as_str()).or_insert_with(|| json!([])));
            if let Some(list) = list.and_then(Value::as_array_mut) {
                list.push(entry.clone());
            }
        }
        added
    }

    /// What the settings mean without any entry of ours, and without what is empty for lack of it.
    pub(super) fn removed(&self, settings: &Value) -> Value {
        let mut removed = settings.clone();
        let Some(events) = removed.get_mut(HOOKS).and_then(Value::as_object_mut) else {
            return removed;
        };
        let before = events.len();
        events.retain(|_, list| {
            let Some(list) = list.as_array_mut() else {
                return true;
            };
            let before = list.len();
            list.retain_mut(|entry| {
                let Some(hooks) = entry.get_mut(HOOKS).and_then(Value::as_array_mut) else {
                    return !self.is_ours(entry);
                };
                let before = hooks.len();
                hooks.retain(|hook| !self.is_ours(hook));
                hooks.len() == before || !hooks.is_empty()
            });
            list.len() == before || !list.is_empty()
        });
        let emptied = events.is_empty() && before > 0;
        if emptied && let Some(settings) = removed.as_object_mut() {
            settings.shift_remove(HOOKS);
        }
        removed
    }

    /// Whether this hook runs our command.
    pub(super) fn is_ours(&self, hook: &Value) -> bool {
        hook.get("command").and_then(Value::as_str) == Some(&self.command)
    }

    fn is_in(&self, list: &Value) -> bool {
        let entries = list.as_array().into_iter().flatten();
        entries.flat_map(hooks).any(|hook| self.is_ours(hook))
    }
}

/// The hooks of an entry.
fn hooks(entry: &Value) -> &[Value] {
    match entry.get(HOOKS).and_then(Value::as_array) {
        Some(hooks) => hooks,
        None => std::slice::from_ref(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::Host;
    use crate::hosts::place::Whose;

    fn claude() -> Snippet {
        Snippet::parse(&Host::Claude.snippet("atomic")).unwrap()
    }

    #[test]
    fn every_snippet_has_one_entry_an_event_with_the_same_command() {
        for host in Host::ALL {
            if host == Host::OpenCode {
                continue;
            }
            let snippet = Snippet::parse(&host.snippet("atomic")).unwrap();
            assert_eq!(snippet.entries.len(), 3);
            for (event, entry) in &snippet.entries {
                assert!(snippet.is_ours(&hooks(entry)[0]), "{event}");
            }
            let alone = snippet.added(&json!({}));
            let whole: Value = serde_json::from_str(&host.snippet("atomic")).unwrap();
            assert_eq!(alone, whole);
            assert!(host.place().whose == Whose::Ours || snippet.check(&alone).is_ok());
        }
    }

    #[test]
    fn the_command_decides_whose_an_entry_is_to_the_letter() {
        let ours = claude().added(&json!({}));
        let other = Snippet::parse(&Host::Claude.snippet("mytool")).unwrap();
        assert_eq!(other.standing(&ours), Standing::Absent);
        assert_eq!(claude().standing(&ours), Standing::Installed);
        let both = other.added(&ours);
        assert_eq!(claude().removed(&both), other.added(&json!({})));
        assert_eq!(other.removed(&both), ours);
    }

    #[test]
    fn an_entry_the_person_changed_around_our_command_is_there() {
        let mut settings = claude().added(&json!({}));
        settings[HOOKS]["UserPromptExpansion"][0]["matcher"] = json!("commit");
        assert_eq!(claude().standing(&settings), Standing::Installed);
        settings[HOOKS]
            .as_object_mut()
            .unwrap()
            .remove("SessionEnd");
        assert_eq!(
            claude().standing(&settings),
            Standing::Partly(vec!["SessionEnd".to_owned()])
        );
        assert_eq!(claude().removed(&settings), json!({}));
    }

    #[test]
    fn what_was_empty_before_us_stays() {
        for settings in [
            json!({"hooks": {}}),
            json!({"hooks": {"Stop": []}}),
            json!({"hooks": {"Stop": [{"hooks": []}]}}),
        ] {
            assert_eq!(claude().removed(&settings), settings);
        }
    }
}
