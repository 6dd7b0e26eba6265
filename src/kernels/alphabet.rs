//! Two sequences of arbitrary u32 symbols as small numbers: kind 0 is "not in the rows", the others count from 1.

/// Probes after which the hash table gives up. As it is at most half full, symbols that are not chosen against it
/// stay far below.
const PROBES: usize = 128;

/// Rows and columns of a comparison, numbered alike.
#[derive(Debug)]
pub(super) struct Numbered {
    /// Kinds of the rows, 1 to `kinds`.
    pub(super) rows: Vec<u32>,
    /// Kinds of the columns; 0 where no row has the symbol.
    pub(super) columns: Vec<u32>,
    /// Different symbols of the rows.
    pub(super) kinds: usize,
}

impl Numbered {
    /// Numbers the symbols.
    ///
    /// # Panics
    /// When there are 2^32 rows or more.
    pub(super) fn new(rows: &[u32], columns: &[u32]) -> Self {
        assert!(fit_u32(rows.len(), 0), "fewer than 2^32 symbols");
        let most = 4 * (rows.len() + columns.len()) as u64 + 1024;
        let (low, span) = range(rows, most);
        // A table over the whole range costs a fill; beyond a few entries a symbol, hashing costs less.
        if span <= most {
            Self::by_table(rows, columns, low, span as usize)
        } else {
            Self::by_hash(rows, columns).unwrap_or_else(|| Self::by_order(rows, columns))
        }
    }

    fn by_table(rows: &[u32], columns: &[u32], low: u32, span: usize) -> Self {
        let mut table = vec![0_u32; span];
        let mut kinds = 0;
        let mut number = |symbol: u32| {
            let entry = &mut table[symbol.wrapping_sub(low) as usize];
            if *entry == 0 {
                kinds += 1;
                *entry = kinds;
            }
            *entry
        };
        let rows = rows.iter().map(|&x| number(x)).collect();
        let columns =
            columns.iter().map(|x| table.get(x.wrapping_sub(low) as usize).copied().unwrap_or(0)).collect();
        Self { rows, columns, kinds: kinds as usize }
    }

    /// None when symbols crowd in the table: then a few thousand of them could cost as much as the comparison.
    fn by_hash(rows: &[u32], columns: &[u32]) -> Option<Self> {
        // Open addressing, at most half full. A slot is the kind in the upper half (0: empty), the symbol below it.
        let bits = (2 * rows.len()).next_power_of_two().trailing_zeros().max(1);
        let mask = (1_usize << bits) - 1;
        let mut slots = vec![0_u64; mask + 1];
        let probes = |symbol: u32| {
            let at = (mix(symbol) >> (64 - bits)) as usize;
            (at..at + PROBES).map(move |at| at & mask)
        };
        let mut kinds = 0;
        let number = |&symbol: &u32| {
            for at in probes(symbol) {
                let slot = slots[at];
                if slot == 0 {
                    kinds += 1;
                    slots[at] = kinds << 32 | u64::from(symbol);
                    return Some(kinds as u32);
                }
                if slot as u32 == symbol {
                    return Some((slot >> 32) as u32);
                }
            }
            None
        };
        let rows = rows.iter().map(number).collect::<Option<_>>()?;
        // No row was put further away than that.
        let find = |&symbol: &u32| {
            let slot = probes(symbol).map(|at| slots[at]).find(|&slot| slot == 0 || slot as u32 == symbol);
            slot.map_or(0, |slot| (slot >> 32) as u32)
        };
        Some(Self { rows, columns: columns.iter().map(find).collect(), kinds: kinds as usize })
    }

    fn by_order(rows: &[u32], columns: &[u32]) -> Self {
        let mut distinct = rows.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let number = |symbol: &u32| distinct.binary_search(symbol).map_or(0, |place| place as u32 + 1);
        Self {
            rows: rows.iter().map(number).collect(),
            columns: columns.iter().map(number).collect(),
            kinds: distinct.len(),
        }
    }

    /// How many columns match anything.
    pub(super) fn known_columns(&self) -> u64 {
        self.columns.iter().map(|&kind| u64::from(kind != 0)).sum()
    }

    /// How many cells match.
    pub(super) fn matches(&self) -> u64 {
        let mut counts = vec![0_u32; self.kinds + 1];
        for &kind in &self.rows {
            counts[kind as usize] += 1;
        }
        self.columns.iter().map(|&kind| u64::from(counts[kind as usize])).sum()
    }
}

/// A number whose upper bits depend on all bits of `symbol`. One product alone (Knuth's multiplicative hash) leaves
/// multiples of some strides side by side; hence the second, after the upper half came down.
fn mix(symbol: u32) -> u64 {
    let once = u64::from(symbol).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (once ^ once >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Whether positions in sequences of these lengths, counted from 1, fit a u32.
pub(super) fn fit_u32(n: usize, m: usize) -> bool {
    n.max(m) as u64 <= u64::from(u32::MAX)
}

/// A range of symbols by its start and length: as they are, or if that is longer than `most`, as signed numbers, by
/// which -1, 0 and 1 are close together too. It may wrap around.
fn range(symbols: &[u32], most: u64) -> (u32, u64) {
    const SIGN: u32 = 1 << 31;
    let extremes = |flip: u32| {
        let ends =
            symbols.iter().map(|x| x ^ flip).fold((u32::MAX, 0), |(low, high), x| (low.min(x), high.max(x)));
        (ends.0 ^ flip, u64::from(ends.1.saturating_sub(ends.0)) + 1)
    };
    let plain = extremes(0);
    if plain.1 <= most { plain } else { extremes(SIGN) }
}

/// Lengths of the common prefix and, in what remains, of the common suffix.
pub(super) fn common_ends(a: &[u32], b: &[u32]) -> (usize, usize) {
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let suffix = a[prefix..].iter().rev().zip(b[prefix..].iter().rev()).take_while(|(x, y)| x == y).count();
    (prefix, suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[u32], columns: &[u32]) {
        let numbered = Numbered::new(rows, columns);
        let mut distinct = rows.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(numbered.kinds, distinct.len());
        let mut matches = 0;
        for (x, kind) in columns.iter().zip(&numbered.columns) {
            assert_eq!(*kind != 0, rows.contains(x));
            for (y, row_kind) in rows.iter().zip(&numbered.rows) {
                assert!(*row_kind >= 1 && *row_kind as usize <= numbered.kinds);
                assert_eq!(x == y, kind == row_kind);
                matches += u64::from(x == y);
            }
        }
        assert_eq!(numbered.matches(), matches);
        assert_eq!(numbered.known_columns(), columns.iter().filter(|x| rows.contains(x)).count() as u64);
    }

    #[test]
    fn equal_symbols_get_equal_numbers() {
        check(&[], &[1, 2]);
        check(&[7], &[]);
        check(&[5, 5, 9, 5], &[9, 4, 5, u32::MAX, 0]);
        check(&[0, 1, u32::MAX, u32::MAX - 1, 1], &[u32::MAX, 0, 2, 1 << 31]);
        check(&[0, u32::MAX, 1 << 31, 0], &[u32::MAX, 0, 17, 1 << 31]);
        let scattered: Vec<u32> = (0..400_u32).map(|i| (i % 131).wrapping_mul(0x9e37_79b9)).collect();
        check(&scattered, &scattered[37..]);
    }

    #[test]
    fn strides_do_not_crowd() {
        // 121,393 is a Fibonacci number: products with the golden ratio are near integers.
        for stride in [1 << 16, 121_393, 196_418, 0x9e37_79b9, 1 << 20 | 1] {
            let rows: Vec<u32> = (0..35_000_u32).map(|i| i.wrapping_mul(stride)).collect();
            assert!(Numbered::by_hash(&rows, &[]).is_some(), "stride {stride}");
        }
    }

    #[test]
    fn symbols_that_crowd_are_sorted() {
        // Neighbours in any table of fewer than 2^14 slots.
        let crowd: Vec<u32> = (0..).filter(|&symbol| mix(symbol) >> 50 == 5).take(300).collect();
        assert!(Numbered::by_hash(&crowd, &[]).is_none());
        check(&crowd, &[&crowd[100..], &[1, 2, u32::MAX]].concat());
        // As many as the probes reach: a column that is none of them finds no empty slot.
        let full = &crowd[..PROBES];
        assert!(Numbered::by_hash(full, &crowd).is_some());
        check(full, &crowd);
    }

    #[test]
    fn positions_are_32_bits() {
        let most = u32::MAX as usize;
        assert!(fit_u32(most, most) && !fit_u32(most + 1, 0) && !fit_u32(0, most + 1));
    }

    #[test]
    fn ends_do_not_overlap() {
        assert_eq!(common_ends(&[1, 1, 1], &[1, 1]), (2, 0));
        assert_eq!(common_ends(&[1, 2, 3, 9], &[1, 5, 3, 9]), (1, 2));
        assert_eq!(common_ends(&[], &[1]), (0, 0));
    }
}
