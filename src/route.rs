//! Where requests go: to the configured endpoint, or where the service sent us from there.

use crate::connection::Endpoint;
use crate::redirect;
use crate::state::Redirect;
use crate::verdict::Trouble;
use crate::world::Reply;
use chrono::{DateTime, Utc};

/// Hops to follow for one request; every official SDK stops at ten.
const HOPS_MAX: usize = 10;

/// The place to post to during one pass.
#[derive(Debug)]
pub struct Route {
    configured: Endpoint,
    current: Endpoint,
    /// Whether an earlier pass was sent to the current place, and this one has not been.
    cached: bool,
    /// What the next pass may go by, learned in this one or the one before.
    pub learned: Option<Redirect>,
}

impl Route {
    /// Starts at the configured endpoint, or where a redirect that is still fresh points.
    pub fn new(configured: &Endpoint, learned: Option<&Redirect>, now: DateTime<Utc>) -> Route {
        let from = configured.to_string();
        let fresh = learned.filter(|redirect| redirect.from == from && now < redirect.until);
        // A file on the disk is no better than a server's word: the same rules hold for both.
        let target = fresh.and_then(|fresh| redirect::follow(configured, &fresh.to).ok());
        Route {
            configured: configured.clone(),
            cached: target.is_some(),
            learned: target.as_ref().and(fresh).cloned(),
            current: target.unwrap_or_else(|| configured.clone()),
        }
    }

    /// Where to post now.
    pub fn place(&self) -> &Endpoint {
        &self.current
    }

    /// Should the place we were sent to be gone, the configured one knows the new one.
    pub fn reset(&mut self) {
        self.current = self.configured.clone();
        self.cached = false;
        self.learned = None;
    }

    /// Goes back to the configured endpoint if the current place was only remembered; says if so.
    pub fn forget_cached(&mut self) -> bool {
        let cached = self.cached;
        if cached {
            self.reset();
        }
        cached
    }

    /// Goes where the reply points, if that is allowed.
    ///
    /// # Errors
    /// The trouble that a refused redirect is.
    pub fn follow(
        &mut self,
        location: &str,
        reply: &Reply,
        visited: &mut Vec<Endpoint>,
        now: DateTime<Utc>,
    ) -> Result<(), Trouble> {
        let next = match redirect::follow(&self.current, location) {
            Err(refusal) => return Err(Trouble::Redirected(refusal.to_string())),
            Ok(next) if visited.contains(&next) => {
                return Err(Trouble::Redirected("it leads in a circle".to_owned()));
            }
            Ok(_) if visited.len() > HOPS_MAX => {
                return Err(Trouble::Redirected(format!(
                    "more than {HOPS_MAX} in a row"
                )));
            }
            Ok(next) => next,
        };
        let max_age = redirect::max_age(reply.cache_control.as_deref());
        self.learned = Some(Redirect {
            from: self.configured.to_string(),
            to: next.to_string(),
            until: now + max_age,
        });
        visited.push(next.clone());
        self.current = next;
        self.cached = false;
        Ok(())
    }
}
