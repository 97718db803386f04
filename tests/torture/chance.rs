//! Random choices that can be repeated: the same seed, the same choices.

use std::ops::Range;
use std::time::Duration;

/// Where the choices have come to. `SplitMix64`, by Steele, Lea and Flood.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// Choices of its own for one of many who choose at the same time.
    pub fn of(&self, who: usize) -> Chance {
        Chance(Chance(self.0 ^ who as u64).any())
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of these.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.any() % (range.end - range.start)
    }

    /// One of so many, counted from 0; 0 if there is none.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.any() % count.max(1) as u64).unwrap()
    }

    /// A time up to this long.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap();
        Duration::from_micros(self.within(0..micros.max(1)))
    }

    /// Puts them in any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Whether this happens, which it does so often in a hundred times.
    pub fn percent(&mut self, often: u64) -> bool {
        self.within(0..100) < often
    }
}
