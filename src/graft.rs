//! What we add to the settings of a host, and what adding and removing it means. splice.rs does the
//! same to the text; each is the check of the other.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// The member of the settings that holds hooks.
pub const HOOKS: &str = "hooks";

/// The hooks we add: for each event one entry. All run the same command, by which we know them again.
#[derive(Clone, Debug)]
pub struct Graft {
    entries: Vec<(String, Value)>,
    beside: Vec<(String, Value)>,
    command: String,
}

/// How much of it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Every event has our command.
    Whole,
    /// These events lack it.
    Lacking(Vec<String>),
    /// Nothing of ours.
    Nothing,
}

impl Graft {
    /// Reads one of our fragments.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(snippet: &str) -> Result<Graft> {
        let value: Value = serde_json::from_str(snippet).context("the snippet is not JSON")?;
        let mut entries = Vec::new();
        for (event, groups) in value[HOOKS].as_object().into_iter().flatten() {
            for group in groups.as_array().into_iter().flatten() {
                entries.push((event.clone(), group.clone()));
            }
        }
        let beside = value.as_object().into_iter().flatten();
        let beside = beside.filter(|(name, _)| *name != HOOKS);
        let command = entries.first().and_then(|(_, group)| {
            let first = handlers(group).first()?;
            Some(first["command"].as_str()?.to_owned())
        });
        Ok(Graft {
            beside: beside
                .map(|(name, it)| (name.clone(), it.clone()))
                .collect(),
            command: command.context("the snippet has no command")?,
            entries,
        })
    }

    /// The command of every entry.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// What the format demands beside the hooks.
    pub fn beside(&self) -> &[(String, Value)] {
        &self.beside
    }

    /// Whether these settings have the shape that our entries belong into.
    ///
    /// # Errors
    /// What has another shape.
    pub fn check(&self, settings: &Value) -> Result<()> {
        let Some(settings) = settings.as_object() else {
            bail!("it is not a JSON object");
        };
        for (name, value) in &self.beside {
            if settings.get(name).is_some_and(|found| found != value) {
                bail!("its {name:?} is not {value}");
            }
        }
        let Some(hooks) = settings.get(HOOKS) else {
            return Ok(());
        };
        let Some(hooks) = hooks.as_object() else {
            bail!("its {HOOKS:?} is not an object");
        };
        for (event, _) in &self.entries {
            let Some(groups) = hooks.get(event) else {
                continue;
            };
            let well = groups.as_array().is_some_and(|groups| {
                groups
                    .iter()
                    .all(|group| group.is_object() && group.get(HOOKS).is_none_or(Value::is_array))
            });
            if !well {
                bail!("its hooks for {event} are not a list of hooks");
            }
        }
        Ok(())
    }

    /// How much of ours these settings have.
    pub fn presence(&self, settings: &Value) -> Presence {
        if !self.anywhere(settings) {
            return Presence::Nothing;
        }
        let lacking: Vec<String> = self.missing(settings).map(|(event, _)| event).collect();
        if lacking.is_empty() {
            Presence::Whole
        } else {
            Presence::Lacking(lacking)
        }
    }

    /// The entries whose events do not have our command yet.
    pub fn missing(&self, settings: &Value) -> impl Iterator<Item = (String, &Value)> {
        self.entries
            .iter()
            .filter(|(event, _)| !self.has(&settings[HOOKS][event]))
            .map(|(event, entry)| (event.clone(), entry))
    }

    /// What the settings mean with our entries. They have passed [`Graft::check`].
    pub fn added(&self, settings: &Value) -> Value {
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
        let hooks = object.entry(HOOKS).or_insert_with(|| Map::new().into());
        for (event, entry) in missing {
            let hooks = hooks.as_object_mut();
            let groups = hooks.map(|hooks| {
                hooks
                    .entry(event)
                    .or_insert_with(|| Value::Array(Vec::new()))
            });
            if let Some(groups) = groups.and_then(Value::as_array_mut) {
                groups.push(entry.clone());
            }
        }
        added
    }

    /// What the settings mean without any entry of ours, and without what is empty for lack of it.
    pub fn removed(&self, settings: &Value) -> Value {
        let mut removed = settings.clone();
        let Some(hooks) = removed.get_mut(HOOKS).and_then(Value::as_object_mut) else {
            return removed;
        };
        let before = hooks.len();
        hooks.retain(|_, groups| {
            let Some(groups) = groups.as_array_mut() else {
                return true;
            };
            let before = groups.len();
            groups.retain_mut(|group| {
                let Some(inner) = group.get_mut(HOOKS).and_then(Value::as_array_mut) else {
                    return !self.is_ours(group);
                };
                let before = inner.len();
                inner.retain(|entry| !self.is_ours(entry));
                inner.len() == before || !inner.is_empty()
            });
            groups.len() == before || !groups.is_empty()
        });
        let emptied = hooks.is_empty() && before > 0;
        if emptied && let Some(settings) = removed.as_object_mut() {
            settings.shift_remove(HOOKS);
        }
        removed
    }

    /// Whether this entry runs our command.
    pub fn is_ours(&self, entry: &Value) -> bool {
        entry.get("command").and_then(Value::as_str) == Some(&self.command)
    }

    fn has(&self, groups: &Value) -> bool {
        let groups = groups.as_array().into_iter().flatten();
        groups.flat_map(handlers).any(|entry| self.is_ours(entry))
    }

    fn anywhere(&self, settings: &Value) -> bool {
        let events = settings.get(HOOKS).and_then(Value::as_object);
        events.is_some_and(|events| events.values().any(|groups| self.has(groups)))
    }
}

/// The commands of an entry: it either holds a list of them, as in Claude's format, or is one.
fn handlers(group: &Value) -> &[Value] {
    match group.get(HOOKS).and_then(Value::as_array) {
        Some(inner) => inner,
        None => std::slice::from_ref(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::Host;
    use crate::hosts::place::Kind;
    use serde_json::json;

    fn claude() -> Graft {
        Graft::parse(&Host::Claude.snippet("atomic")).unwrap()
    }

    #[test]
    fn every_fragment_has_one_entry_an_event_with_the_same_command() {
        for host in Host::ALL {
            if host == Host::OpenCode {
                continue;
            }
            let graft = Graft::parse(&host.snippet("atomic")).unwrap();
            assert_eq!(graft.entries.len(), 3);
            for (event, group) in &graft.entries {
                assert!(graft.is_ours(&handlers(group)[0]), "{event}");
            }
            let alone = graft.added(&json!({}));
            let whole: Value = serde_json::from_str(&host.snippet("atomic")).unwrap();
            assert_eq!(alone, whole);
            assert!(host.place().kind == Kind::Own || graft.check(&alone).is_ok());
        }
    }

    #[test]
    fn the_command_decides_whose_an_entry_is_to_the_letter() {
        let ours = claude().added(&json!({}));
        let other = Graft::parse(&Host::Claude.snippet("mytool")).unwrap();
        assert_eq!(other.presence(&ours), Presence::Nothing);
        assert_eq!(claude().presence(&ours), Presence::Whole);
        let both = other.added(&ours);
        assert_eq!(claude().removed(&both), other.added(&json!({})));
        assert_eq!(other.removed(&both), ours);
    }

    #[test]
    fn an_entry_the_person_changed_around_our_command_is_there() {
        let mut settings = claude().added(&json!({}));
        settings[HOOKS]["UserPromptExpansion"][0]["matcher"] = json!("commit");
        assert_eq!(claude().presence(&settings), Presence::Whole);
        settings[HOOKS]
            .as_object_mut()
            .unwrap()
            .remove("SessionEnd");
        assert_eq!(
            claude().presence(&settings),
            Presence::Lacking(vec!["SessionEnd".to_owned()])
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
