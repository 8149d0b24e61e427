//! Which values of a column are there, and how many it has.

use arrow_buffer::{NullBuffer, NullBufferBuilder};

/// Arrow's builder, with a length that costs no call: it is asked for with every value.
#[derive(Debug)]
pub(super) struct Validity {
    bits: NullBufferBuilder,
    len: usize,
}

impl Validity {
    pub fn new() -> Validity {
        Validity { bits: NullBufferBuilder::new(0), len: 0 }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn append_non_null(&mut self) {
        self.bits.append_non_null();
        self.len += 1;
    }

    pub fn append_n_nulls(&mut self, count: usize) {
        self.bits.append_n_nulls(count);
        self.len += count;
    }

    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        self.bits.is_valid(row)
    }

    /// Only down to `len` values.
    pub fn truncate(&mut self, len: usize) {
        self.bits.truncate(len);
        self.len = self.len.min(len);
    }

    /// What was appended; nothing is left.
    pub fn finish(&mut self) -> Option<NullBuffer> {
        self.len = 0;
        self.bits.finish()
    }
}
