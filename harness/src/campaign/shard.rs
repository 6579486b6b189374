//! Parts of a campaign for several machines.

use std::fmt;
use std::str::FromStr;

/// One of several equal parts of a campaign: every so manieth case. Each case depends on its seed and index
/// alone, so parts with the same seed never overlap, and all of them together are the campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: u64,
    count: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Shard::WHOLE
    }
}

/// Why something names no part of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no shard: give K/N with K from 1 to N, as in 2/5")]
pub struct NoShard(String);

impl Shard {
    /// The campaign as one part.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// Part `number` of `count`, from 1 on.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn new(number: u64, count: u64) -> Result<Shard, NoShard> {
        match number.checked_sub(1) {
            Some(index) if index < count => Ok(Shard { index, count }),
            _ => Err(NoShard(format!("{number}/{count}"))),
        }
    }

    /// Which part it is, from 1 on.
    pub fn number(self) -> u64 {
        self.index + 1
    }

    /// How many parts there are.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether it is all of the campaign.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Its first case of index `from` or more; the next one is [`Shard::count`] further.
    pub fn first(self, from: u64) -> u64 {
        from.saturating_add((self.index + self.count - from % self.count) % self.count)
    }

    /// How many of so many cases are its own.
    pub fn share(self, cases: u64) -> u64 {
        if cases == u64::MAX { cases } else { cases.saturating_sub(self.index).div_ceil(self.count) }
    }
}

impl FromStr for Shard {
    type Err = NoShard;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no = || NoShard(text.to_owned());
        let (number, count) = text.split_once('/').ok_or_else(no)?;
        match (number.parse(), count.parse()) {
            (Ok(number), Ok(count)) => Shard::new(number, count).map_err(|_| no()),
            _ => Err(no()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number(), self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_one_part() {
        for count in 1..=7 {
            let mut seen = vec![0; 50];
            for number in 1..=count {
                let shard = Shard::new(number, count).unwrap();
                let own: Vec<u64> = (0..50).skip(shard.first(0) as usize).step_by(count as usize).collect();
                assert_eq!(own.len() as u64, shard.share(50), "{shard}");
                own.iter().for_each(|&case| seen[case as usize] += 1);
                for from in 0..43 {
                    assert_eq!(Some(&shard.first(from)), own.iter().find(|&&case| case >= from), "{shard} from {from}");
                }
            }
            assert_eq!(seen, vec![1; 50], "{count} parts");
        }
    }

    #[test]
    fn what_is_no_part_is_refused() {
        assert_eq!("2/5".parse::<Shard>().unwrap().to_string(), "2/5");
        for wrong in ["0/3", "4/3", "1/0", "3", "a/3", "1/", "-1/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!(Shard::WHOLE.share(u64::MAX), u64::MAX);
    }
}
