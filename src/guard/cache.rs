//! A bounded memory of answers: by entries and by bytes, the least recently used go first.
//!
//! Keys are hashes, so nothing of a token is kept. Ordered maps and no hash tables: those of std
//! are not randomly keyed in WebAssembly, and here every step costs the logarithm of the number of
//! entries whatever an attacker chooses.

use core::fmt;
use std::collections::BTreeMap;

use crate::time::Timestamp;

/// What entries are found by: the SHA-256 of the whole token.
pub(super) type Key = [u8; 32];

/// What an entry costs besides its value, in bytes: key, place in the order and the maps' nodes.
const OVERHEAD: usize = 160;

/// Values that are kept until a moment each.
pub(super) struct Cache<T> {
    entries: BTreeMap<Key, Entry<T>>,
    /// The keys by when they were last used.
    order: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
    most_entries: usize,
    most_bytes: usize,
}

struct Entry<T> {
    value: T,
    bytes: usize,
    /// When it was put in: before that the clock was set back and its age is unknown.
    since: Timestamp,
    until: Timestamp,
    used: u64,
}

impl<T> Cache<T> {
    /// An empty memory with its bounds.
    pub(super) fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            bytes: 0,
            most_entries,
            most_bytes,
        }
    }

    /// What is kept under this key and still valid.
    pub(super) fn find(&mut self, key: &Key, now: Timestamp) -> Option<&T> {
        let (since, until) = self.entries.get(key).map(|it| (it.since, it.until))?;
        if now < since || now >= until {
            self.remove(key);
            return None;
        }
        let entry = self.entries.get_mut(key)?;
        self.uses = self.uses.saturating_add(1);
        self.order.remove(&entry.used);
        self.order.insert(self.uses, *key);
        entry.used = self.uses;
        Some(&entry.value)
    }

    /// Keeps a value of about so many bytes from `since` until just before `until`. One that is too
    /// large for the whole, or over already, is not kept.
    pub(super) fn keep(
        &mut self,
        key: Key,
        value: T,
        bytes: usize,
        (since, until): (Timestamp, Timestamp),
    ) {
        self.remove(&key);
        let bytes = bytes.saturating_add(OVERHEAD);
        if until <= since || self.most_entries == 0 || bytes > self.most_bytes {
            return;
        }
        while self.entries.len() >= self.most_entries
            || self.bytes.saturating_add(bytes) > self.most_bytes
        {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
            }
        }
        self.uses = self.uses.saturating_add(1);
        self.order.insert(self.uses, key);
        self.bytes = self.bytes.saturating_add(bytes);
        let entry = Entry {
            value,
            bytes,
            since,
            until,
            used: self.uses,
        };
        self.entries.insert(key, entry);
    }

    /// Forgets a value.
    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    /// How many values are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({} entries)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn key(number: u32) -> Key {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn a_value_is_found_until_just_before_its_end() {
        let mut cache = Cache::new(10, 10_000);
        cache.keep(key(1), "a", 1, (at(100), at(160)));
        assert_eq!(cache.find(&key(1), at(100)), Some(&"a"));
        assert_eq!(cache.find(&key(1), at(159)), Some(&"a"));
        assert_eq!(cache.find(&key(2), at(159)), None);
        assert_eq!(cache.find(&key(1), at(160)), None);
        assert_eq!((cache.len(), cache.bytes), (0, 0));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_it() {
        let mut cache = Cache::new(10, 10_000);
        cache.keep(key(1), "a", 1, (at(100), at(160)));
        assert_eq!(cache.find(&key(1), at(99)), None);
        assert_eq!(cache.find(&key(1), at(100)), None);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = Cache::new(3, 10_000);
        for number in 1..=3 {
            cache.keep(key(number), number, 1, (at(0), at(100)));
        }
        assert!(cache.find(&key(1), at(1)).is_some());
        cache.keep(key(4), 4, 1, (at(0), at(100)));
        assert!(cache.find(&key(2), at(1)).is_none());
        for number in [1, 3, 4] {
            assert!(cache.find(&key(number), at(1)).is_some(), "{number}");
        }
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = Cache::new(100, 3 * (1000 + OVERHEAD));
        for number in 0..50 {
            cache.keep(key(number), number, 1000, (at(0), at(100)));
        }
        assert_eq!(cache.len(), 3);
        cache.keep(key(99), 99, 100_000, (at(0), at(100)));
        assert!(cache.find(&key(99), at(1)).is_none());
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn int_26_a_flood_of_a_million_leaves_nothing_but_its_last_entries() {
        let mut cache = Cache::new(1000, 1 << 20);
        for number in 0..1_000_000 {
            cache.keep(key(number), (), 0, (at(0), at(100)));
        }
        assert_eq!(cache.len(), 1000);
        assert_eq!((cache.entries.len(), cache.order.len()), (1000, 1000));
        assert_eq!(cache.bytes, 1000 * OVERHEAD);
        assert!(cache.find(&key(999_999), at(1)).is_some());
    }

    #[test]
    fn what_is_over_or_of_no_entry_is_not_kept() {
        let mut cache = Cache::new(10, 10_000);
        cache.keep(key(1), "a", 1, (at(100), at(100)));
        cache.keep(key(1), "a", 1, (at(100), at(50)));
        assert_eq!(cache.len(), 0);
        let mut none = Cache::new(0, 10_000);
        none.keep(key(1), "a", 1, (at(0), at(50)));
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn a_value_that_is_kept_again_stands_once() {
        let mut cache = Cache::new(10, 10_000);
        cache.keep(key(1), "a", 1, (at(0), at(50)));
        cache.keep(key(1), "b", 1, (at(0), at(90)));
        assert_eq!(cache.find(&key(1), at(60)), Some(&"b"));
        assert_eq!((cache.len(), cache.order.len()), (1, 1));
    }
}
