//! What the server saw of one client, counted when the client is gone.

use crate::data;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;

/// What the server saw.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Tally {
    /// Requests with a whole body.
    pub requests: u64,
    /// Connections over which something came.
    pub connections: u64,
    /// Bytes of the requests inside TLS, headers included.
    pub bytes: u64,
    /// Bytes of the bodies when they are unpacked.
    pub plain_bytes: u64,
    /// Events that came.
    pub delivered: u64,
    /// Events that did not.
    pub lost: u64,
    /// How often an event came again.
    pub twice: u64,
    /// Items that are none of the events.
    pub strangers: u64,
    /// User and system time the server took while it served, in milliseconds.
    pub server_cpu_ms: f64,
}

/// The part of an item that says which event it is: an event's or a message's, by its producer's name for
/// the id or by ours.
#[derive(Deserialize)]
struct Item {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "baseData")]
    base_data: BaseData,
}

#[derive(Deserialize)]
struct BaseData {
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
struct Properties {
    #[serde(default, alias = "eventId")]
    event_id: String,
}

impl Tally {
    /// Counts the events in these bodies, `count` of which were to come.
    pub fn count(
        &mut self,
        bodies: impl Iterator<Item = io::Result<Vec<u8>>>,
        count: u64,
    ) -> io::Result<()> {
        let mut times: HashMap<String, u64> = (0..count).map(|n| (data::id(n), 0)).collect();
        for body in bodies {
            let body = body?;
            self.plain_bytes += body.len() as u64;
            for item in serde_json::from_slice::<Vec<Item>>(&body)? {
                match times.get_mut(&item.data.base_data.properties.event_id) {
                    Some(times) => *times += 1,
                    None => self.strangers += 1,
                }
            }
        }
        self.delivered = times.values().filter(|times| **times > 0).count() as u64;
        self.lost = count - self.delivered;
        self.twice = times.values().map(|times| times.saturating_sub(1)).sum();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_comes_twice_or_is_nobodys_is_counted() {
        let item = |key: &str, id: &str| {
            format!(r#"{{"name":"n","data":{{"baseData":{{"properties":{{"{key}":"{id}"}}}}}}}}"#)
        };
        let (first, second) = (data::id(0), data::id(1));
        let bodies = [
            format!(
                "[{},{}]",
                item("event_id", &first),
                item("event_id", "nobody's")
            ),
            format!(
                "[{},{}]",
                item("eventId", &second),
                item("event_id", &first)
            ),
        ];
        let bodies = bodies.into_iter().map(|body| Ok(body.into_bytes()));
        let mut tally = Tally::default();
        tally.count(bodies, 5).unwrap();
        let counted = [tally.delivered, tally.lost, tally.twice, tally.strangers];
        assert_eq!(counted, [2, 3, 1, 1]);
    }
}
