//! Two sequences of arbitrary u32 symbols as small numbers: kind 0 is "not in the rows", the others count from 1.

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
    /// Numbers the symbols in the order in which the rows bring them.
    pub(super) fn new(rows: &[u32], columns: &[u32]) -> Self {
        let most = 4 * (rows.len() + columns.len()) as u64 + 1024;
        let (low, span) = range(rows, most);
        // A table over the whole range costs a fill; beyond a few entries a symbol, hashing costs less.
        if span <= most {
            Self::by_table(rows, columns, low, span as usize)
        } else {
            Self::by_hash(rows, columns)
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

    fn by_hash(rows: &[u32], columns: &[u32]) -> Self {
        // Open addressing, at most half full. A slot is the kind in the upper half (0: empty), the symbol below it.
        let bits = (2 * rows.len()).next_power_of_two().trailing_zeros().max(1);
        let mask = (1_usize << bits) - 1;
        let mut slots = vec![0_u64; mask + 1];
        let place = |symbol: u32| {
            // The upper bits of a product with 2^64 / golden ratio (Knuth's multiplicative hash).
            (u64::from(symbol).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
        };
        let mut kinds = 0;
        let number = |&symbol: &u32| {
            let mut at = place(symbol);
            loop {
                let slot = slots[at];
                if slot == 0 {
                    kinds += 1;
                    slots[at] = kinds << 32 | u64::from(symbol);
                    return kinds as u32;
                }
                if slot as u32 == symbol {
                    return (slot >> 32) as u32;
                }
                at = (at + 1) & mask;
            }
        };
        let rows = rows.iter().map(number).collect();
        let find = |&symbol: &u32| {
            let mut at = place(symbol);
            loop {
                let slot = slots[at];
                if slot == 0 || slot as u32 == symbol {
                    return (slot >> 32) as u32;
                }
                at = (at + 1) & mask;
            }
        };
        Self { rows, columns: columns.iter().map(find).collect(), kinds: kinds as usize }
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
    fn ends_do_not_overlap() {
        assert_eq!(common_ends(&[1, 1, 1], &[1, 1]), (2, 0));
        assert_eq!(common_ends(&[1, 2, 3, 9], &[1, 5, 3, 9]), (1, 2));
        assert_eq!(common_ends(&[], &[1]), (0, 0));
    }
}
