//! Which proofs and tokens were used, so that none is used twice (RFC 9449 section 11.1, OpenID
//! Connect Back-Channel Logout section 2.6).

use crate::time::Timestamp;

/// Who remembers.
#[derive(Debug)]
pub(crate) enum Replays {
    /// This guard or receiver.
    Here(Memory),
    /// Someone who is asked.
    Elsewhere,
}

impl Default for Replays {
    fn default() -> Self {
        Self::Here(Memory::default())
    }
}

/// The uses of late, in two generations: new ones go into the second, and when the first one's
/// last use has ended it is dropped and the second takes its place.
///
/// When the second is full the first is dropped too early. Refusing everyone instead would let one
/// client with a good token stop all others; forgetting helps nobody who has not both a good token
/// and a proof of someone else that is still fresh.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    old: Generation,
    new: Generation,
}

impl Memory {
    /// Whether this is the first use, which is remembered at least up to its end.
    ///
    /// What it costs does not depend on how many are remembered, unless a client makes its `jti`s
    /// so that their names fall together, which costs it more than us.
    pub(crate) fn is_first(&mut self, name: [u8; 16], ends_at: Timestamp, now: Timestamp) -> bool {
        if self.old.is_over(now) || self.new.used >= MOST {
            self.old = core::mem::take(&mut self.new);
        }
        !self.old.contains(&name) && self.new.insert(name, ends_at)
    }
}

/// How many uses one generation holds: 270 a second for the two minutes that a use is remembered,
/// in 1 MiB.
const MOST: usize = 32_768;

/// A slot that holds no name. No digest is zero.
const EMPTY: [u8; 16] = [0; 16];

/// Names of uses in a table with open addressing, at most half full. They are digests, so their
/// first bytes say where they stand.
#[derive(Debug, Default)]
struct Generation {
    slots: Vec<[u8; 16]>,
    used: usize,
    last_end: Option<Timestamp>,
}

impl Generation {
    fn is_over(&self, now: Timestamp) -> bool {
        self.last_end.is_none_or(|end| end < now)
    }

    fn contains(&self, name: &[u8; 16]) -> bool {
        let (early, late) = self.slots.split_at(self.home(name));
        late.iter()
            .chain(early)
            .take_while(|slot| **slot != EMPTY)
            .any(|slot| slot == name)
    }

    /// Whether the name was new.
    fn insert(&mut self, name: [u8; 16], ends_at: Timestamp) -> bool {
        if self.used.saturating_mul(2) >= self.slots.len() {
            self.grow();
        }
        if !self.put(name) {
            return false;
        }
        self.used = self.used.saturating_add(1);
        self.last_end = self.last_end.max(Some(ends_at));
        true
    }

    fn put(&mut self, name: [u8; 16]) -> bool {
        let home = self.home(&name);
        let (early, late) = self.slots.split_at_mut(home);
        let slot = late
            .iter_mut()
            .chain(early)
            .find(|slot| **slot == EMPTY || **slot == name);
        match slot {
            Some(slot) if *slot == EMPTY => {
                *slot = name;
                true
            }
            _ => false,
        }
    }

    fn grow(&mut self) {
        let length = self.slots.len().saturating_mul(2).max(64);
        let slots = core::mem::replace(&mut self.slots, vec![EMPTY; length]);
        for name in slots.into_iter().filter(|name| *name != EMPTY) {
            self.put(name);
        }
    }

    /// Where a name stands when nobody else does; at most the number of slots.
    fn home(&self, [a, b, c, d, ..]: &[u8; 16]) -> usize {
        let start = u32::from_le_bytes([*a, *b, *c, *d]);
        usize::try_from(start)
            .unwrap_or(0)
            .checked_rem(self.slots.len())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: usize) -> Timestamp {
        Timestamp::from_millis(i64::try_from(millis).unwrap()).unwrap()
    }

    /// A name that is not zero.
    fn name(number: usize) -> [u8; 16] {
        let mut name = [1; 16];
        for (place, byte) in name.iter_mut().zip(number.to_le_bytes()) {
            *place = byte;
        }
        name
    }

    #[test]
    fn a_use_is_the_first_one_once() {
        let mut memory = Memory::default();
        assert!(memory.is_first(name(1), at(100), at(0)));
        assert!(!memory.is_first(name(1), at(100), at(0)));
        assert!(memory.is_first(name(2), at(100), at(0)));
        assert!(!memory.is_first(name(2), at(100), at(100)));
        assert!(!memory.is_first(name(1), at(100), at(100)));
    }

    #[test]
    fn every_use_is_remembered_up_to_its_end_and_not_for_ever() {
        let mut memory = Memory::default();
        for number in 0..10_000 {
            assert!(memory.is_first(name(number), at(number + 90), at(number)));
            // The oldest one that has not ended, and one in between.
            for age in [90, 40, 0] {
                if let Some(early) = number.checked_sub(age) {
                    assert!(!memory.is_first(name(early), at(early + 90), at(number)));
                }
            }
        }
        assert!(memory.old.used + memory.new.used < 400);
    }

    #[test]
    fn a_flood_of_uses_takes_bounded_memory() {
        let mut memory = Memory::default();
        for number in 0..4 * MOST {
            assert!(memory.is_first(name(number), at(1000), at(0)));
        }
        assert!(memory.old.used <= MOST && memory.new.used <= MOST);
        assert!(memory.old.slots.len() <= 2 * MOST && memory.new.slots.len() <= 2 * MOST);
        // The latest ones are known.
        for number in 3 * MOST..4 * MOST {
            assert!(!memory.is_first(name(number), at(1000), at(0)));
        }
    }

    #[test]
    fn names_that_fall_together_are_told_apart() {
        let mut memory = Memory::default();
        let clash = |last: u8| {
            let mut name = name(7);
            name[15] = last;
            name
        };
        for last in 0..=255 {
            assert!(memory.is_first(clash(last), at(10), at(0)));
        }
        for last in 0..=255 {
            assert!(!memory.is_first(clash(last), at(10), at(0)));
        }
    }
}
