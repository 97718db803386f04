//! What cannot be read and stands in the place of telemetry.json makes room for a no.

use super::{last_fields, make_data_folder};
use crate::consent::{self, FileState};
use crate::os;
use crate::paths::Paths;
use anyhow::{Context, Error, Result, anyhow};
use std::io;
use std::path::PathBuf;

/// With this many files set aside, the user has to remove some.
const NAMES_MAX: usize = 100;

/// Something that held no answer and stood in the place of telemetry.json.
#[derive(Debug)]
pub struct Damaged {
    /// Why it could not be read.
    pub why: String,
    /// Its new name.
    pub now: PathBuf,
}

impl Damaged {
    /// Puts it back, because of this error, which is returned.
    pub(super) fn put_back(&self, paths: &Paths, err: Error) -> Error {
        match os::rename_if_absent(&self.now, &paths.consent()) {
            Ok(true) => err,
            _ => err.context(format!("telemetry.json is now {}", self.now.display())),
        }
    }
}

/// Every name that a damaged file may have been given, in their order.
pub fn names_set_aside(paths: &Paths) -> impl Iterator<Item = PathBuf> {
    (1..=NAMES_MAX).map(|number| paths.damaged_consent(number))
}

/// Moves what cannot be read out of the place of telemetry.json, to a name beside it.
pub(super) fn set_aside(paths: &Paths) -> Result<Option<Damaged>> {
    let path = paths.consent();
    let found = consent::read(&path);
    let Err(why) = last_fields(&found) else {
        return Ok(None);
    };
    let context = || format!("cannot change {}", path.display());
    if found == FileState::Shut {
        return Err(why).with_context(context);
    }
    make_data_folder(paths).with_context(context)?;
    let why = why.to_string();
    for now in names_set_aside(paths) {
        match os::rename_if_absent(&path, &now) {
            Ok(true) => {}
            Ok(false) => continue,
            // Another no was faster.
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => {
                return Err(err)
                    .with_context(|| format!("{why}, and it cannot be set aside"))
                    .with_context(context);
            }
        }
        // Another program may have written an answer meanwhile.
        if consent::read(&now) == found {
            return Ok(Some(Damaged { why, now }));
        }
        os::rename_if_absent(&now, &path).with_context(context)?;
        return Ok(None);
    }
    Err(anyhow!(
        "{why}, and {NAMES_MAX} of its kind were set aside before; remove some"
    ))
    .with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::sandbox;
    use crate::answer::{Fields, refuse};
    use crate::os::Replacement;
    use std::fs;

    fn say_no(paths: &Paths) -> Result<Option<Damaged>> {
        let no = Fields::from_iter([("enabled".to_owned(), false.into())]);
        refuse(paths, |_| Some(no.clone()))
    }

    #[test]
    fn each_damaged_file_is_set_aside_under_a_free_name() {
        let (_folder, paths) = sandbox();
        for number in 1..=100 {
            let damaged = format!("{{ {number}");
            fs::write(paths.consent(), &damaged).unwrap();
            let found = say_no(&paths).unwrap().unwrap();
            assert_eq!(found.now, paths.damaged_consent(number));
            assert_eq!(fs::read_to_string(found.now).unwrap(), damaged);
            assert!(say_no(&paths).unwrap().is_none());
        }
        fs::write(paths.consent(), "{").unwrap();
        let err = format!("{:#}", say_no(&paths).unwrap_err());
        assert!(
            err.ends_with("100 of its kind were set aside before; remove some"),
            "{err}"
        );
        assert_eq!(fs::read_to_string(paths.consent()).unwrap(), "{");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_another_process_keeps_shut_is_not_set_aside() {
        use crate::consent::{Consent, Rule, SHUT};
        use crate::lease::{self, Lease};
        use std::collections::BTreeMap;
        let (_folder, paths) = sandbox();
        let yes = r#"{"enabled":true,"consentGiven":true}"#;
        fs::write(paths.consent(), yes).unwrap();
        let file = os::open(&paths.consent(), os::Open::Update).unwrap();
        // A program that another test starts may hold it open for a moment.
        let held = crate::lock::patiently(std::time::Duration::from_secs(10), || {
            Ok(match lease::take(&file) {
                Lease::Held(held) => Some(held),
                _ => None,
            })
        });
        let held = held.unwrap().unwrap();
        let err = format!("{:#}", say_no(&paths).unwrap_err());
        assert!(err.ends_with(SHUT), "{err}");
        let asked = consent::ask(&BTreeMap::new(), "a", &paths.consent());
        let rule = Rule::ConsentRefused(SHUT.to_owned());
        assert_eq!(asked, Consent::Denied(rule));
        drop(held);
        assert_eq!(fs::read_to_string(paths.consent()).unwrap(), yes);
        assert!(!paths.damaged_consent(1).exists());
    }

    #[test]
    fn a_damaged_file_is_put_back_where_the_no_cannot_be_written() {
        let (_folder, paths) = sandbox();
        fs::write(paths.consent(), "{").unwrap();
        fs::create_dir(Replacement::beside(&paths.consent())).unwrap();
        let err = format!("{:#}", say_no(&paths).unwrap_err());
        assert!(err.contains("cannot write beside it"), "{err}");
        assert_eq!(fs::read_to_string(paths.consent()).unwrap(), "{");
        assert!(!paths.damaged_consent(1).exists());
    }
}
