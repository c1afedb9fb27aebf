//! Counts of more keys than there is room for: a count-min sketch (Cormode and Muthukrishnan, 2005) with conservative
//! update. An estimate is never below what was counted; with N counts in `width` cells a row and 4 rows it is more than
//! e N / width too high for one key in e^4 = 55.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Rows: each halves the chance of a bad estimate more than once.
pub const ROWS: usize = 4;

/// Where the cells of keys are. The seed is secret, so nobody can choose keys that share cells with somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u64; 2]);

impl Seed {
    pub fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self([RandomState::new().hash_one(1), RandomState::new().hash_one(2)])
    }

    /// Differs where the same seed would lead to other cells: the standard library may change its hash.
    pub fn check(self) -> u64 {
        self.hash("zpost")
    }

    fn hash(self, key: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish()
    }
}

/// One sketch: of one slot of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    cells: Box<[u32]>,
    width: usize,
}

impl Sketch {
    pub fn new(width: usize) -> Self {
        let width = width.max(1);
        Self { cells: vec![0; width.saturating_mul(ROWS)].into(), width }
    }

    pub fn add(&mut self, seed: Seed, key: &impl Hash, count: u32) {
        let places = self.places(seed, key);
        let least = self.least(places).saturating_add(count);
        for place in places {
            if let Some(cell) = self.cells.get_mut(place) {
                *cell = least.max(*cell);
            }
        }
    }

    pub fn estimate(&self, seed: Seed, key: &impl Hash) -> u32 {
        self.least(self.places(seed, key))
    }

    fn least(&self, places: [usize; ROWS]) -> u32 {
        places.iter().filter_map(|place| self.cells.get(*place)).copied().min().unwrap_or(0)
    }

    /// One cell in each row, by double hashing.
    fn places(&self, seed: Seed, key: &impl Hash) -> [usize; ROWS] {
        let hash = seed.hash(key);
        let (first, second) = (hash & 0xffff_ffff, hash >> 32 | 1);
        std::array::from_fn(|row| {
            let column = first.wrapping_add(second.wrapping_mul(row as u64)) & 0xffff_ffff;
            // Scaled, not divided: as even, and cheaper.
            row * self.width + ((column * self.width as u64) >> 32) as usize
        })
    }

    /// Cells that are not zero, for the state file.
    pub fn filled(&self) -> impl Iterator<Item = (usize, u32)> {
        self.cells.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// Puts a cell back; one that there is no place for is left out.
    pub fn fill(&mut self, place: usize, count: u32) {
        if let Some(cell) = self.cells.get_mut(place) {
            *cell = count.max(*cell);
        }
    }

    pub const fn bytes(&self) -> usize {
        self.cells.len() * size_of::<u32>()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn an_estimate_is_never_below_the_count(
            width in 1usize..64,
            seed: [u64; 2],
            steps in proptest::collection::vec((0u32..200, 0u32..1000), 0..300),
        ) {
            let seed = Seed(seed);
            let mut sketch = Sketch::new(width);
            let mut exact: HashMap<u32, u64> = HashMap::new();
            for (key, count) in steps {
                sketch.add(seed, &key, count);
                *exact.entry(key).or_default() += u64::from(count);
            }
            let total: u64 = exact.values().sum();
            for (key, count) in exact {
                let estimate = u64::from(sketch.estimate(seed, &key));
                prop_assert!(estimate >= count && estimate <= total);
            }
        }
    }

    #[test]
    fn the_error_is_within_the_bound() {
        // 200,000 counts of 50,000 keys, a few of them heavy, in 4,096 cells a row.
        let (seed, width) = (Seed([7, 9]), 4096);
        let mut sketch = Sketch::new(width);
        let mut exact = HashMap::new();
        let mut state = 1u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let uniform = (state >> 33) % 50_000;
            let key = if uniform < 10_000 { uniform % 10 } else { uniform };
            sketch.add(seed, &key, 1);
            *exact.entry(key).or_insert(0u32) += 1;
        }
        let bound = std::f64::consts::E * 200_000.0 / width as f64;
        let errors: Vec<f64> = exact.iter().map(|(key, count)| f64::from(sketch.estimate(seed, key) - count)).collect();
        let beyond = errors.iter().filter(|error| **error > bound).count();
        assert!(beyond * 55 <= errors.len(), "{beyond} of {} estimates are more than {bound:.0} too high", errors.len());
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        println!("mean error {mean:.1}, bound {bound:.1}, beyond it {beyond} of {}", errors.len());
    }

    #[test]
    fn a_full_cell_stays_full() {
        let seed = Seed([1, 2]);
        let mut sketch = Sketch::new(4);
        sketch.add(seed, &1, u32::MAX);
        sketch.add(seed, &1, 5);
        assert_eq!(sketch.estimate(seed, &1), u32::MAX);
    }
}
