//! A replica's share of a channel: what is one channel's is one channel's over all replicas.

/// Where this replica stands among those that are alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct Share {
    /// Its place, from 0.
    pub(in crate::delivery) place: usize,
    /// How many there are.
    pub(in crate::delivery) of: usize,
    /// Whether it is the one that delivers for a channel that only one may deliver for.
    pub(in crate::delivery) owns: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self { place: 0, of: 1, owns: true }
    }
}

impl Share {
    /// How many of the attempts that may be under way at once are this replica's: a pace cannot be shared out, so one replica keeps
    /// it; `concurrency` is shared out, the first replicas getting the rest.
    pub(in crate::delivery) fn attempts(self, concurrency: usize, paced: bool) -> usize {
        if paced {
            return if self.owns { concurrency } else { 0 };
        }
        let (each, rest) = (concurrency / self.of.max(1), concurrency % self.of.max(1));
        each + usize::from(self.place < rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_all_there_is() {
        for concurrency in 1..40 {
            for of in 1..8 {
                let shares = (0..of).map(|place| Share { place, of, owns: false }.attempts(concurrency, false));
                assert_eq!(shares.sum::<usize>(), concurrency);
            }
        }
    }

    #[test]
    fn a_pace_is_kept_by_one() {
        let shares = [true, false, false].map(|owns| Share { place: 0, of: 3, owns }.attempts(9, true));
        assert_eq!(shares, [9, 0, 0]);
    }
}
