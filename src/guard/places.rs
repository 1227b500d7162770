//! Where an issuer stands among many, found in the same time however many they are.

use crate::issuer::Provider;

/// A table of places by a hash of their issuers. What stands in it comes from the program's options,
/// so nobody else can choose names that crowd together.
#[derive(Debug)]
pub(super) struct Places {
    /// At least twice as many as there are issuers, a power of two.
    slots: Vec<Option<usize>>,
}

impl Places {
    /// The places of these providers, none of which stands twice.
    pub(super) fn of(providers: &[Provider]) -> Self {
        let count = providers.len().saturating_mul(2).next_power_of_two();
        let mut places = Self {
            slots: vec![None; count],
        };
        for (place, provider) in providers.iter().enumerate() {
            let issuer = provider.issuer().as_str();
            let free = places.way(issuer).find(|slot| {
                let taken = places.slots.get(*slot);
                taken.is_some_and(Option::is_none)
            });
            if let Some(slot) = free.and_then(|slot| places.slots.get_mut(slot)) {
                *slot = Some(place);
            }
        }
        places
    }

    /// The place of an issuer.
    pub(super) fn find(&self, issuer: &str, providers: &[Provider]) -> Option<usize> {
        self.way(issuer)
            .map_while(|slot| self.slots.get(slot).copied().flatten())
            .find(|place| {
                providers
                    .get(*place)
                    .is_some_and(|provider| provider.issuer().as_str() == issuer)
            })
    }

    /// The slots in which an issuer may stand, the likeliest first: one after the other, as long as
    /// they are taken.
    fn way(&self, issuer: &str) -> impl Iterator<Item = usize> + use<> {
        let count = self.slots.len();
        let first = usize::try_from(hash(issuer)).unwrap_or_default();
        (0..count).map(move |step| first.wrapping_add(step) & count.wrapping_sub(1))
    }
}

/// FNV-1a.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Transport;
    use crate::issuer::Issuer;
    use crate::time::Lifetime;

    fn providers(count: usize) -> Vec<Provider> {
        let issuer = |n| Issuer::parse(&format!("https://as{n}.example"), Transport::Secure);
        (0..count)
            .map(|n| {
                let issuer = issuer(n).unwrap();
                Provider::new(issuer, Transport::Secure, Lifetime::from_seconds(5))
            })
            .collect()
    }

    #[test]
    fn each_of_many_issuers_is_found_and_no_other() {
        for count in [1, 2, 3, 1000] {
            let providers = providers(count);
            let places = Places::of(&providers);
            for (place, provider) in providers.iter().enumerate() {
                let issuer = provider.issuer().as_str();
                assert_eq!(places.find(issuer, &providers), Some(place));
            }
            for name in ["", "https://as.example", "https://as1000.example"] {
                assert_eq!(places.find(name, &providers), None, "{name}");
            }
        }
    }

    #[test]
    fn the_way_to_an_issuer_is_as_short_among_a_thousand_as_among_ten() {
        let longest = |count: usize| {
            let providers = providers(count);
            let places = Places::of(&providers);
            let steps = |provider: &Provider| {
                let issuer = provider.issuer().as_str();
                let place = places.find(issuer, &providers);
                places
                    .way(issuer)
                    .position(|slot| places.slots[slot] == place)
                    .unwrap()
            };
            providers.iter().map(steps).sum::<usize>() / count
        };
        assert_eq!((longest(10), longest(1000)), (0, 0));
    }
}
