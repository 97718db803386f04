//! What a pass would do. Changes and makes nothing.

use crate::buffer::{self, Buffer};
use crate::clock::Clock;
use crate::fate::{self, Fate};
use crate::intake::{Intake, More, Taken};
use crate::os::Open;
use crate::outlook;
use crate::rules::Rules;
use crate::state::State;
use crate::summary::{Ending, Summary};
use crate::upload::Pass;
use crate::world::World;
use anyhow::Result;

/// Reads and packs what waits in the buffers, and counts it as if the server had accepted it.
///
/// # Errors
/// A data folder that cannot be listed.
pub fn run<W: World>(pass: &Pass<W>) -> Result<Summary> {
    let names = outlook::waiting(pass.paths)?;
    if names.is_empty() && !outlook::is_anything_waiting(pass.paths)? {
        return Ok(Summary::ended(Ending::Nothing));
    }
    let mut summary = Summary::default();
    summary.problems.extend(buffer::unusable(pass.paths)?);
    let last = State::load(pass.paths).clock;
    let clock = Clock::read(pass.world.now(), last.as_ref());
    let rules = pass.rules(&clock, None);
    for name in names {
        let counted = Buffer::look(pass.paths, &name, Open::Read)
            .and_then(|buffer| Intake::new(buffer, rules.limits))
            .and_then(|intake| count(intake, &rules, &mut summary));
        summary.noting(counted);
    }
    Ok(summary)
}

fn count(mut intake: Intake, rules: &Rules, summary: &mut Summary) -> Result<()> {
    while let Taken::Batch(batch, more) = intake.take_batch(rules)? {
        let events = batch.events();
        summary.requests += u64::from(!events.is_empty());
        let posted = events
            .into_iter()
            .map(|index| (index, Fate::Delivered))
            .collect();
        let fates = fate::of_each(&batch, posted);
        summary.account(&intake.buffer.name, &batch.lines, &fates, fates.len());
        if more == More::No {
            break;
        }
    }
    Ok(())
}
