//! How things stand with one application's telemetry, looked at from outside: without the network, and
//! without changing or making anything. [`diagnosis`] says what it means.

pub mod diagnosis;

use crate::buffer;
use crate::cli::{Application, Upload};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::consent::{self, Consent};
use crate::holder::{self, Holder};
use crate::host_settings::{self, Found, Standing};
use crate::lock;
use crate::os::{self, Open};
use crate::paths::Paths;
use crate::schedule::{self, Scheduler};
use crate::settings::{Limits, Settings};
use crate::state::State;
use crate::waiting::{self, Waiting};
use crate::world::{Proxies, RealWorld, Way};
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::path::Path;

/// Less room than this and nothing can be appended for long, nor the end of a pass be written down.
pub const FREE_BYTES_MIN: u64 = 1_000_000;

/// A buffer that was renamed, so that no upload reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Its name.
    pub name: String,
    /// What to do about it.
    pub advice: String,
}

/// Everything that is looked at.
#[derive(Debug)]
pub struct Health {
    /// The flags that name this application, for the next step.
    pub flags: String,
    /// The flag that names it where there is no data folder to name.
    pub flag: String,
    /// The time of the look.
    pub now: DateTime<Utc>,
    /// Whether the data folder is another user's: then nothing here can be told.
    pub is_anothers: bool,
    /// May we?
    pub consent: Consent,
    /// The host that events go to, with its port if that is not the usual one; or why there is none.
    pub endpoint: Result<String>,
    /// How that host is reached, if there is one.
    pub way: Option<Way>,
    /// What is likely to be a mistake in the connection string.
    pub connection_warning: Option<&'static str>,
    /// The limits of a pass.
    pub limits: Limits,
    /// What waits, buffer by buffer; only those that hold something.
    pub buffers: Vec<Waiting>,
    /// What is wrong with the folder, with one of the buffers, or with the disk; a sentence each.
    pub obstacles: Vec<String>,
    /// Renamed buffers that hold something.
    pub renamed: Vec<Renamed>,
    /// The last pass, the totals, the pause.
    pub state: State,
    /// Whether our clock can be right, and was not stepped.
    pub clock_is_credible: bool,
    /// The uploader at work.
    pub holder: Option<Holder>,
    /// The detached pass.
    pub detached: Option<Holder>,
    /// Hosts that have our hooks, or some of them, or another version's.
    pub hooks: Vec<Found>,
    /// Whether the hooks find this program.
    pub is_found_by_hooks: bool,
    /// What starts passes every so often, or why that is unclear.
    pub schedules: Vec<(Scheduler, Result<schedule::Found>)>,
}

impl Health {
    /// Looks at everything once.
    pub fn look(
        application: &Application,
        paths: &Paths,
        env: &BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> Health {
        let app = application.app();
        let settings = Settings::resolve(&Upload::default(), app, paths, env);
        // A CA file that cannot be used keeps everything from being sent.
        let settings = settings.and_then(|settings| {
            let ca_file = settings.ca_file.as_deref();
            RealWorld::new(&settings.limits, ca_file, env).map(|_| settings)
        });
        let (endpoint, way, connection_warning) = match settings {
            Ok(settings) => {
                let Connection {
                    endpoint, warning, ..
                } = settings.connection;
                let way = Proxies::read(env).way_to(&endpoint);
                (Ok(endpoint.authority()), Some(way), warning)
            }
            Err(err) => (Err(err), None, None),
        };
        let limits = Limits::configured(paths);
        let renamed = buffer::renamed(paths).unwrap_or_default().into_iter();
        let renamed = renamed.map(|name| Renamed {
            advice: buffer::advice_for_renamed(paths, &name),
            name,
        });
        let (buffers, obstacles) = look_at_buffers(paths, &limits);
        let state = State::load(paths);
        let mut hooks = host_settings::survey_files(app, env);
        hooks.retain(|found| !matches!(found.standing, Ok(Standing::Absent)));
        Health {
            flags: application.as_flags(),
            flag: application.app.as_flag(),
            now,
            is_anothers: os::is_anothers(paths.data()),
            consent: consent::ask(env, app, &paths.consent()),
            endpoint,
            way,
            connection_warning,
            renamed: renamed.collect(),
            buffers,
            obstacles,
            clock_is_credible: Clock::read(now, state.clock.as_ref()).credible,
            state,
            holder: holder::find(paths),
            detached: holder::find_detached(paths),
            limits,
            hooks,
            is_found_by_hooks: host_settings::binary(env).is_some(),
            schedules: schedule::found(app, env),
        }
    }

    /// What waits in all buffers together.
    pub fn waiting(&self) -> Waiting {
        waiting::sum(&self.buffers)
    }
}

/// The buffers that hold events, and what is wrong with one of them, the folder or the disk.
fn look_at_buffers(paths: &Paths, limits: &Limits) -> (Vec<Waiting>, Vec<String>) {
    let (mut buffers, mut problems) = (Vec::new(), Vec::new());
    problems.extend(look_at_folder(paths.data()).err());
    problems.extend(look_at_room(paths.data()).err());
    problems.extend(look_at_locks(paths).err());
    let unusable = buffer::unusable(paths).unwrap_or_default();
    problems.extend(unusable.into_iter().map(anyhow::Error::msg));
    let names = buffer::names(paths).unwrap_or_default();
    for name in names.iter().filter(|name| buffer::has_bytes(paths, name)) {
        let path = paths.buffer(name);
        let writable =
            os::may_write(&path).with_context(|| format!("cannot write {}", path.display()));
        problems.extend(writable.err());
        match waiting::look(paths, name, limits) {
            Ok(found) => buffers.push(found),
            Err(err) => problems.push(err),
        }
    }
    buffers.retain(|found: &Waiting| found.events > 0);
    let problems = problems.iter().map(|problem| format!("{problem:#}"));
    (buffers, problems.collect())
}

/// Whether events can be recorded in the folder, and passes keep their books.
fn look_at_folder(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return nearest(folder).map_or(Ok(()), |nearest| {
            os::may_write(nearest).with_context(|| format!("cannot make {}", folder.display()))
        });
    }
    let cannot = |folder: &Path| format!("cannot write into {}", folder.display());
    os::check_dir(folder)
        .and_then(|()| os::may_write(folder))
        .with_context(|| cannot(folder))?;
    let books = folder.join("upload");
    if books.symlink_metadata().is_ok() {
        os::check_private_dir(&books)
            .and_then(|()| os::may_write(&books))
            .with_context(|| cannot(&books))?;
    }
    std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(())
}

/// The folder itself, or that of those above it which is there.
fn nearest(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.exists())
}

/// Whether a pass could be alone in the folder, as far as the files in it show.
///
/// # Errors
/// Its file system has no locks.
pub(crate) fn look_at_locks(paths: &Paths) -> Result<()> {
    // Without this file nothing is recorded; and no other process locks it.
    let Ok(file) = os::open(&paths.consent(), Open::Read) else {
        return Ok(());
    };
    let looked = lock::is_held(&file).map(drop);
    looked.with_context(|| format!("nothing can be sent from {}", paths.data().display()))
}

fn look_at_room(folder: &Path) -> Result<()> {
    let free = nearest(folder).and_then(os::free_bytes);
    if free.is_none_or(|free| free >= FREE_BYTES_MIN) {
        return Ok(());
    }
    anyhow::bail!("the disk of {} is full", folder.display())
}
