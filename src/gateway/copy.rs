//! The capped copy of one body: frames by reference while they are few, small ones gathered when they are many.

use bytes::Bytes;

use super::exchange::{Captured, Kept};
use super::route::RouteState;

/// Frames held by reference at most; each may pin the buffer that it was read into.
const FRAMES_HELD: usize = 8;
/// Beyond [`FRAMES_HELD`], frames shorter than this are copied together.
const FRAME_COPIED_BYTES: usize = 16 * 1024;
/// A gathered piece is closed at this size.
const GATHERED_BYTES: usize = 64 * 1024;

/// Fills as a body passes. With `wanted: false` it only counts.
pub(super) struct BodyCopy {
    captured: Captured,
    gathered: Vec<u8>,
    kept_bytes: u64,
    claimed_bytes: u64,
    wanted: bool,
}

impl BodyCopy {
    pub(super) fn new(wanted: bool) -> BodyCopy {
        let kept = if wanted { Kept::Whole } else { Kept::NotKept };
        let captured = Captured { kept, ..Captured::default() };
        BodyCopy { captured, gathered: Vec::new(), kept_bytes: 0, claimed_bytes: 0, wanted }
    }

    /// Bytes that have passed.
    pub(super) fn seen_bytes(&self) -> u64 {
        self.captured.seen_bytes
    }

    /// Takes note of a frame that passes.
    pub(super) fn frame(&mut self, data: &Bytes, route: &RouteState) {
        self.captured.seen_bytes += data.len() as u64;
        if !self.wanted || data.is_empty() {
            return;
        }
        let room = route.config.capture.body_bytes_max - self.kept_bytes;
        let taken = (data.len() as u64).min(room);
        if taken < data.len() as u64 {
            self.captured.kept = Kept::Cut;
            self.wanted = false;
            if taken == 0 {
                return;
            }
        }
        if !route.budget.claim(taken) {
            self.give_up(route);
            return;
        }
        self.kept_bytes += taken;
        self.claimed_bytes += taken;
        // Lossless: `taken` is at most `data.len()`.
        self.keep(data.slice(..taken as usize));
    }

    fn keep(&mut self, piece: Bytes) {
        if self.captured.frames.len() < FRAMES_HELD && self.gathered.is_empty() {
            self.captured.frames.push(piece);
            return;
        }
        if piece.len() >= FRAME_COPIED_BYTES {
            self.close_gathered();
            self.captured.frames.push(piece);
            return;
        }
        self.gathered.extend_from_slice(&piece);
        if self.gathered.len() >= GATHERED_BYTES {
            self.close_gathered();
        }
    }

    fn close_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.captured.frames.push(Bytes::from(std::mem::take(&mut self.gathered)));
        }
    }

    /// There is no memory for more: half a body is worth less than the room it takes.
    fn give_up(&mut self, route: &RouteState) {
        self.wanted = false;
        self.captured.kept = Kept::NotKept;
        self.captured.frames = Vec::new();
        self.gathered = Vec::new();
        drop(route.budget.permit(std::mem::take(&mut self.claimed_bytes)));
        route.meters.not_kept();
    }

    /// The copy and the bytes claimed for it. `ended`: the body's end was seen.
    pub(super) fn finish(&mut self, ended: bool) -> (Captured, u64) {
        self.close_gathered();
        self.wanted = false;
        let mut captured = std::mem::take(&mut self.captured);
        captured.ended = ended;
        (captured, std::mem::take(&mut self.claimed_bytes))
    }
}
